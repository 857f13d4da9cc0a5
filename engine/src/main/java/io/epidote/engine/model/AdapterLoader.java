package io.epidote.engine.model;

import io.epidote.engine.checkpoint.AdapterConfig;
import io.epidote.engine.checkpoint.AdapterFolder;
import io.epidote.engine.checkpoint.TextConfig;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.kernel.AdapterLayers;
import io.epidote.engine.kernel.ExpertSlots;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.Set;
import java.util.TreeSet;

/** Checks adapters against a base, packs their matrices and gives their experts slots. */
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
    /**
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
            file.bytes(),
            packed.toString(),
            plan.layers(mapped.address()),
            slots,
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

  private record Mapped(
      String digest,
      String kind,
      long bytes,
      String file,
      AdapterLayers layers,
      ExpertSlots slots,
      Arena arena)
      implements AdapterWeights {
    @Override
    public void close() {
      for (int layer = 0; layer < layers.layers().size(); layer++) {
        int[] map = layers.layers().get(layer).slots();
        for (int expert = 0; map != null && expert < map.length; expert++) {
          if (map[expert] != expert) {
            slots.give(layer, map[expert]);
          }
        }
      }
      arena.close();
    }
  }
}
