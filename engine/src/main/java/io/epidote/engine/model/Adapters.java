package io.epidote.engine.model;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.checkpoint.AdapterFolder;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.error.EpidoteException.NotFound;
import io.epidote.engine.kernel.AdapterLayers;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Pattern;

/**
 * The adapters that a decoder holds, by name. Any thread may use it, and no step waits for a load:
 * weights are read and packed by the thread that loads, and only then get a name. A request keeps
 * the generation that it has taken; what is unloaded or replaced is freed when the last of them has
 * given it back.
 */
public final class Adapters {
  private static final Pattern NAME = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,63}");

  /** Lets the router choose: never an adapter's name. */
  public static final String AUTO = "auto";

  private final AdapterWeights.Loader loader;
  private final Map<String, LoadedAdapter> current = new TreeMap<>();
  private long generations;

  Adapters(AdapterWeights.Loader loader) {
    this.loader = requireNonNull(loader, "loader is null");
  }

  /** Of a decoder that can have none. */
  public static Adapters none(String why) {
    return new Adapters(folder -> {
      throw new InvalidRequest("%s cannot be loaded: %s".formatted(folder, why));
    });
  }

  /** Of a decoder that computes nothing: of an adapter, only its form is checked. */
  public static Adapters withoutWeights() {
    return new Adapters(folder -> {
      try (AdapterFolder adapter = AdapterFolder.open(folder)) {
        return new NoWeights(adapter.digest(), adapter.config().kind());
      }
    });
  }

  private record NoWeights(String digest, String kind) implements AdapterWeights {
    @Override
    public long bytes() {
      return 0;
    }

    @Override
    public AdapterLayers layers() {
      return AdapterLayers.NONE;
    }

    @Override
    public void close() {}
  }

  /**
   * Loads an adapter; may take seconds.
   *
   * @param replace whether it takes the place of one of that name; those who run on that one finish
   *     on it
   * @throws InvalidRequest when the name cannot be one or is taken
   * @throws io.epidote.engine.error.EpidoteException.BadCheckpoint when the folder is not an
   *     adapter of this base; nothing has changed then
   */
  public LoadedAdapter load(String name, Path folder, boolean replace) {
    if (!NAME.matcher(name).matches() || name.equals(AUTO)) {
      throw new InvalidRequest(
          "'%s' cannot be an adapter's name; expected up to 64 letters, digits, '.', '_' and '-', and not '%s'"
              .formatted(name, AUTO));
    }
    checkFree(name, replace);
    AdapterWeights weights = loader.load(folder);
    try {
      return publish(name, weights, replace);
    } catch (RuntimeException e) {
      weights.close();
      throw e;
    }
  }

  private synchronized void checkFree(String name, boolean replace) {
    LoadedAdapter there = current.get(name);
    if (there != null && !replace) {
      throw new InvalidRequest(
          "The adapter %s is loaded already; unload it first, or ask to replace it"
              .formatted(there));
    }
  }

  private synchronized LoadedAdapter publish(String name, AdapterWeights weights, boolean replace) {
    checkFree(name, replace);
    LoadedAdapter loaded = new LoadedAdapter(name, ++generations, weights);
    LoadedAdapter before = current.put(name, loaded);
    if (before != null) {
      retire(before);
    }
    return loaded;
  }

  /**
   * Lets no request begin on an adapter any more.
   *
   * @throws NotFound when there is none of that name
   */
  public synchronized void unload(String name) {
    retire(known(name));
    current.remove(name);
  }

  /** The adapters that requests can take, by name. */
  public synchronized List<LoadedAdapter> list() {
    return new ArrayList<>(current.values());
  }

  /**
   * Takes an adapter for a request, which gives it back when it is over.
   *
   * @throws NotFound when there is none of that name
   */
  public synchronized LoadedAdapter take(String name) {
    LoadedAdapter adapter = known(name);
    adapter.users++;
    return adapter;
  }

  /** Gives back what {@link #take} gave; no step is running with it. */
  public synchronized void give(LoadedAdapter adapter) {
    if (adapter.users == 0) {
      throw new IllegalStateException("nobody has taken " + adapter);
    }
    adapter.users--;
    freeUnused(adapter);
  }

  /** Retires all. */
  synchronized void close() {
    current.values().forEach(this::retire);
    current.clear();
  }

  private void retire(LoadedAdapter adapter) {
    adapter.retired = true;
    freeUnused(adapter);
  }

  private static void freeUnused(LoadedAdapter adapter) {
    if (adapter.retired && adapter.users == 0) {
      adapter.weights().close();
    }
  }

  private LoadedAdapter known(String name) {
    LoadedAdapter adapter = current.get(name);
    if (adapter == null) {
      throw new NotFound(
          "There is no adapter '%s' here; loaded are: %s"
              .formatted(name, current.isEmpty() ? "none" : String.join(", ", current.keySet())));
    }
    return adapter;
  }
}
