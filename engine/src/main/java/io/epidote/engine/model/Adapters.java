package io.epidote.engine.model;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.checkpoint.AdapterFolder;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.error.EpidoteException.NotFound;
import io.epidote.engine.kernel.AdapterLayers;
import io.epidote.engine.tier.AdapterTiers;
import io.epidote.engine.tier.TierEntry;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.Executor;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
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
  private final AdapterTiers tiers;
  private final Map<String, LoadedAdapter> current = new TreeMap<>();

  /** What was there before a load that is not settled yet, or nothing. */
  private final Map<String, Optional<LoadedAdapter>> held = new TreeMap<>();

  private long generations;

  /**
   * @param worker reads adapters in and frees what nobody uses any more, one task after the other
   */
  Adapters(AdapterWeights.Loader loader, Executor worker) {
    this.loader = requireNonNull(loader, "loader is null");
    this.tiers = new AdapterTiers(worker, System::nanoTime);
  }

  /** A thread for reading adapters in, which is there while there is something to do. */
  static Executor worker() {
    return new ThreadPoolExecutor(
        0,
        1,
        1,
        TimeUnit.SECONDS,
        new LinkedBlockingQueue<>(),
        Thread.ofPlatform().daemon().name("adapter-tiers").factory());
  }

  /** Where adapters are, and which are next. */
  public AdapterTiers tiers() {
    return tiers;
  }

  /** Of a decoder that computes nothing: of an adapter, only its form is checked. */
  public static Adapters withoutWeights() {
    return new Adapters(
        folder -> {
          try (AdapterFolder adapter = AdapterFolder.open(folder)) {
            return new NoWeights(adapter.digest(), adapter.config().kind());
          }
        },
        Runnable::run);
  }

  private record NoWeights(String digest, String kind) implements AdapterWeights {
    @Override
    public long bytes() {
      return 0;
    }

    @Override
    public int slots() {
      return 0;
    }

    @Override
    public void readIn() {}

    @Override
    public void drop() {}

    @Override
    public void place() {}

    @Override
    public void displace() {}

    @Override
    public String file() {
      return "";
    }

    @Override
    public AdapterLayers layers() {
      return AdapterLayers.NONE;
    }

    @Override
    public void close() {}
  }

  /** Loads an adapter for good. */
  public LoadedAdapter load(String name, Path folder, boolean replace) {
    return load(name, folder, replace, false);
  }

  /**
   * Loads an adapter; may take seconds.
   *
   * @param replace whether it takes the place of one of that name; those who run on that one finish
   *     on it
   * @param hold whether what was there is kept until {@link #settle}
   * @throws InvalidRequest when the name cannot be one or is taken, or the adapter could never have
   *     the slots that it needs
   * @throws io.epidote.engine.error.EpidoteException.BadCheckpoint when the folder is not an
   *     adapter of this base; nothing has changed then
   */
  public LoadedAdapter load(String name, Path folder, boolean replace, boolean hold) {
    checkName(name);
    checkFree(name, replace);
    AdapterWeights weights = loader.load(folder);
    TierEntry entry;
    try {
      entry = tiers.add(weights);
    } catch (RuntimeException e) {
      weights.close();
      throw e;
    }
    try {
      return publish(name, weights, entry, replace, hold);
    } catch (RuntimeException e) {
      tiers.remove(entry, weights::close);
      throw e;
    }
  }

  /**
   * Checks and prepares an adapter without giving it a name: loading it afterwards is quick.
   *
   * @return its digest
   * @throws InvalidRequest as {@link #load}
   * @throws io.epidote.engine.error.EpidoteException.BadCheckpoint as {@link #load}
   */
  public String check(String name, Path folder, boolean replace) {
    checkName(name);
    checkFree(name, replace);
    try (AdapterWeights weights = loader.load(folder)) {
      tiers.checkFits(weights);
      return weights.digest();
    }
  }

  private static void checkName(String name) {
    if (!NAME.matcher(name).matches() || name.equals(AUTO)) {
      throw new InvalidRequest(
          "'%s' cannot be an adapter's name; expected up to 64 letters, digits, '.', '_' and '-', and not '%s'"
              .formatted(name, AUTO));
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

  private synchronized LoadedAdapter publish(
      String name, AdapterWeights weights, TierEntry entry, boolean replace, boolean hold) {
    checkFree(name, replace);
    letGo(name);
    LoadedAdapter loaded = new LoadedAdapter(name, ++generations, weights, entry);
    Optional<LoadedAdapter> before = Optional.ofNullable(current.put(name, loaded));
    if (hold) {
      held.put(name, before);
    } else {
      before.ifPresent(this::retire);
    }
    return loaded;
  }

  /**
   * Ends a load that held what was there before. Harmless when there is none: it was settled, or
   * the name has changed since.
   *
   * @param digest of what was loaded
   * @param keep false to put what was there in its place again; those who run on what was loaded
   *     finish on it
   */
  public synchronized void settle(String name, String digest, boolean keep) {
    LoadedAdapter loaded = current.get(name);
    if (loaded == null || !loaded.digest().equals(digest) || !held.containsKey(name)) {
      return;
    }
    if (keep) {
      letGo(name);
      return;
    }
    retire(loaded);
    current.remove(name);
    Optional<LoadedAdapter> before = requireNonNull(held.remove(name));
    before.ifPresent(adapter -> current.put(name, adapter));
  }

  private void letGo(String name) {
    Optional<LoadedAdapter> before = held.remove(name);
    if (before != null) {
      before.ifPresent(this::retire);
    }
  }

  /**
   * Lets no request begin on an adapter any more.
   *
   * @throws NotFound when there is none of that name
   */
  public synchronized void unload(String name) {
    retire(known(name));
    letGo(name);
    current.remove(name);
  }

  /** Requests that run on an adapter. */
  public synchronized int users(LoadedAdapter adapter) {
    return adapter.users;
  }

  /** Files that adapters are mapped from. */
  synchronized List<String> files() {
    return current.values().stream().map(adapter -> adapter.weights().file()).toList();
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
    held.values().forEach(before -> before.ifPresent(this::retire));
    current.clear();
    held.clear();
  }

  private void retire(LoadedAdapter adapter) {
    adapter.retired = true;
    freeUnused(adapter);
  }

  private void freeUnused(LoadedAdapter adapter) {
    if (adapter.retired && adapter.users == 0) {
      // Unmapping takes as long as there is to unmap: not for whoever was the last.
      tiers.remove(adapter.entry(), adapter.weights()::close);
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
