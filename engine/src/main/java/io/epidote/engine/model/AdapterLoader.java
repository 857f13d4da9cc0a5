package io.epidote.engine.model;

import io.epidote.engine.checkpoint.AdapterConfig;
import io.epidote.engine.checkpoint.AdapterFolder;
import io.epidote.engine.checkpoint.TextConfig;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.kernel.AdapterLayers;
import io.epidote.engine.kernel.ExpertSlots;
import io.epidote.engine.memory.MappedPages;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/** Checks adapters against a base, packs their matrices and maps them. */
final class AdapterLoader implements AdapterWeights.Loader {
  /** Changes whenever the same adapter is packed differently. */
  private static final int FORMAT = 1;

  private final Base base;
  private final ExpertSlots slots;
  private final Path cache;

  /**
   * What adapters must fit.
   *
   * @param prefix before the names of the decoder's tensors
   */
  record Base(TextConfig text, String prefix, Precision precision) {
    String layer(int index) {
      return prefix + "layers." + index + ".";
    }

    boolean bytes() {
      return precision == Precision.INT8;
    }
  }

  /** An adapter whose matrices have a place in a file. */
  interface Plan {
    /** Expert slots that it takes, in all layers together. */
    int slots();

    /**
     * Takes the slots.
     *
     * @param address of the file in memory
     */
    AdapterLayers layers(long address);
  }

  /**
   * @param slots of the decoder
   * @param cache folder of this machine's caches
   */
  AdapterLoader(Base base, ExpertSlots slots, Path cache) {
    this.base = base;
    this.slots = slots;
    this.cache = cache;
  }

  @Override
  @SuppressWarnings("MustBeClosedChecker") // the adapter closes the arena
  public AdapterWeights load(Path folder) {
    if (base.precision() == Precision.INT4) {
      throw new InvalidRequest(
          "%s cannot be loaded: the decoder is int4; adapters are served at fp32 and int8"
              .formatted(folder));
    }
    try (AdapterFolder adapter = AdapterFolder.open(folder, cache)) {
      AdapterFile file = new AdapterFile();
      Plan plan =
          switch (adapter.config()) {
            case AdapterConfig.Esft esft -> EsftPlan.of(adapter, esft, base, file, slots);
            case AdapterConfig.Lora lora -> LoraPlan.of(adapter, lora, base, file);
          };
      Path packed =
          cache
              .resolve("adapters")
              .resolve(
                  "%s-%s-v%d.bin"
                      .formatted(
                          adapter.digest().substring(0, 32), base.precision().word(), FORMAT));
      Arena arena = Arena.ofShared();
      try {
        MemorySegment mapped = file.map(packed, arena);
        return new Mapped(
            adapter.digest(),
            adapter.config().kind(),
            packed.toString(),
            plan,
            slots,
            mapped,
            arena);
      } catch (RuntimeException e) {
        arena.close();
        throw e;
      }
    }
  }

  /** Refuses tensors that nobody asked for. */
  static void refuseSurplus(AdapterFolder adapter, Set<String> expected, String supported) {
    Set<String> surplus = new TreeSet<>(adapter.tensorNames());
    surplus.removeAll(expected);
    if (!surplus.isEmpty()) {
      throw new BadCheckpoint(
          "%s: tensor %s%s is not expected; %s"
              .formatted(
                  adapter.folder(),
                  surplus.iterator().next(),
                  surplus.size() > 1 ? " (and %d more)".formatted(surplus.size() - 1) : "",
                  supported));
    }
  }

  /** A file that is mapped for as long as the adapter is known. */
  private static final class Mapped implements AdapterWeights {
    private final String digest;
    private final String kind;
    private final String file;
    private final Plan plan;
    private final ExpertSlots slots;
    private final MemorySegment memory;
    private final Arena arena;
    private volatile @Nullable AdapterLayers layers;

    Mapped(
        String digest,
        String kind,
        String file,
        Plan plan,
        ExpertSlots slots,
        MemorySegment memory,
        Arena arena) {
      this.digest = digest;
      this.kind = kind;
      this.file = file;
      this.plan = plan;
      this.slots = slots;
      this.memory = memory;
      this.arena = arena;
    }

    @Override
    public String digest() {
      return digest;
    }

    @Override
    public String kind() {
      return kind;
    }

    @Override
    public long bytes() {
      return memory.byteSize();
    }

    @Override
    public int slots() {
      return plan.slots();
    }

    @Override
    public String file() {
      return file;
    }

    @Override
    public void readIn() {
      memory.load();
    }

    @Override
    public void drop() {
      new MappedPages().drop(memory);
    }

    @Override
    public void place() {
      layers = plan.layers(memory.address());
    }

    @Override
    public void displace() {
      AdapterLayers placed = layers();
      layers = null;
      for (int layer = 0; layer < placed.layers().size(); layer++) {
        int[] map = placed.layers().get(layer).slots();
        for (int expert = 0; map != null && expert < map.length; expert++) {
          if (map[expert] != expert) {
            slots.give(layer, map[expert]);
          }
        }
      }
    }

    @Override
    public AdapterLayers layers() {
      AdapterLayers placed = layers;
      if (placed == null) {
        throw new IllegalStateException("the adapter of %s has no expert slots".formatted(file));
      }
      return placed;
    }

    @Override
    public void close() {
      arena.close();
    }
  }
}
