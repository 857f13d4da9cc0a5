package io.epidote.engine.model;

import io.epidote.engine.checkpoint.AdapterConfig;
import io.epidote.engine.checkpoint.AdapterFolder;
import io.epidote.engine.checkpoint.MoeConfig;
import io.epidote.engine.checkpoint.TextConfig;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import io.epidote.engine.kernel.AdapterLayers;
import io.epidote.engine.kernel.AdapterLayers.FeedForwardLora;
import io.epidote.engine.kernel.ExpertSlots;
import io.epidote.engine.kernel.PackedMatrix;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.IntStream;

/** Experts that take the place of the base's, each in a slot. */
final class EsftPlan implements AdapterLoader.Plan {
  private final TextConfig text;
  private final ExpertSlots slots;
  private final List<Expert> experts = new ArrayList<>();

  /**
   * @param gateUp offset in the file
   * @param down offset in the file
   */
  private record Expert(int layer, int number, long gateUp, long down) {}

  private EsftPlan(TextConfig text, ExpertSlots slots) {
    this.text = text;
    this.slots = slots;
  }

  /**
   * @throws BadCheckpoint when the adapter does not fit the base
   */
  static EsftPlan of(
      AdapterFolder adapter,
      AdapterConfig.Esft config,
      AdapterLoader.Base base,
      AdapterFile file,
      ExpertSlots slots) {
    TextConfig text = base.text();
    EsftPlan plan = new EsftPlan(text, slots);
    MatrixPacking packing = new MatrixPacking(adapter);
    Set<String> expected = new HashSet<>();
    config
        .experts()
        .forEach((layer, numbers) -> {
          MoeConfig moe = moe(adapter, text, layer);
          for (int number : numbers) {
            if (number >= moe.experts()) {
              throw new BadCheckpoint(
                  "%s: %s names expert %d of layer %d, but the base has experts 0 to %d"
                      .formatted(
                          adapter.folder(),
                          AdapterConfig.ESFT_FILE,
                          number,
                          layer,
                          moe.experts() - 1));
            }
            FeedForward expert = FeedForward.expert(text, moe, base.layer(layer), number);
            plan.experts.add(
                new Expert(
                    layer,
                    number,
                    add(adapter, packing, expert.gateUp(), base, file, expected),
                    add(adapter, packing, expert.downMatrix(), base, file, expected)));
          }
        });
    AdapterLoader.refuseSurplus(
        adapter,
        expected,
        "an ESFT adapter has gate, up and down of the experts that %s names, and nothing else"
            .formatted(AdapterConfig.ESFT_FILE));
    return plan;
  }

  private static MoeConfig moe(AdapterFolder adapter, TextConfig text, int layer) {
    if (text.moe().isEmpty()) {
      throw new BadCheckpoint(
          "%s has experts (ESFT), but the base is dense; load it on the base that it was trained on"
              .formatted(adapter.folder()));
    }
    if (layer >= text.layers() || text.experts(layer).isEmpty()) {
      throw new BadCheckpoint(
          "%s: %s names layer %d, but the base's layers with experts are %d to %d"
              .formatted(
                  adapter.folder(),
                  AdapterConfig.ESFT_FILE,
                  layer,
                  text.moe().get().firstLayer(),
                  text.layers() - 1));
    }
    return text.experts(layer).get();
  }

  private static long add(
      AdapterFolder adapter,
      MatrixPacking packing,
      LinearLayers.Matrix matrix,
      AdapterLoader.Base base,
      AdapterFile file,
      Set<String> expected) {
    for (int i = 0; i < matrix.outs().length; i++) {
      adapter.check(matrix.names().get(i), matrix.outs()[i], matrix.in());
    }
    expected.addAll(matrix.names());
    PackedMatrix packed = PackedMatrix.of(base.bytes(), matrix.in(), matrix.out());
    return file.add(packed.bytes(), destination -> packing.pack(matrix, packed, destination));
  }

  @Override
  public int slots() {
    return experts.size();
  }

  @Override
  public AdapterLayers layers(long address) {
    int[][] maps = new int[text.layers()][];
    for (Expert expert : experts) {
      int layer = expert.layer();
      if (maps[layer] == null) {
        maps[layer] = IntStream.range(0, text.experts(layer).orElseThrow().experts()).toArray();
      }
      maps[layer][expert.number()] =
          slots.take(layer, address + expert.gateUp(), address + expert.down());
    }
    List<AdapterLayers.Layer> layers = new ArrayList<>();
    for (int[] map : maps) {
      layers.add(
          new AdapterLayers.Layer(
              map, Optional.empty(), Optional.empty(), FeedForwardLora.NONE, Map.of()));
    }
    return new AdapterLayers(layers);
  }
}
