package io.epidote.engine.model;

import io.epidote.engine.checkpoint.AdapterConfig;
import io.epidote.engine.checkpoint.AdapterFolder;
import io.epidote.engine.checkpoint.MoeConfig;
import io.epidote.engine.checkpoint.TextConfig;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import io.epidote.engine.kernel.AdapterLayers;
import io.epidote.engine.kernel.AdapterLayers.FeedForwardLora;
import io.epidote.engine.kernel.LoraMatrices;
import io.epidote.engine.kernel.PackedFloats;
import io.epidote.engine.model.LinearLayers.Matrix;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;

/**
 * Low-rank matrices beside the decoder's attention (not latent attention), dense layers and
 * experts.
 */
final class LoraPlan implements AdapterLoader.Plan {
  /** What PEFT puts before the base's names. */
  private static final String PREFIX = "base_model.model.";

  private static final String WEIGHT = ".weight";

  private final AdapterFolder adapter;
  private final AdapterConfig.Lora config;
  private final AdapterLoader.Base base;
  private final AdapterFile file;
  private final MatrixPacking packing;
  private final Set<String> expected = new HashSet<>();

  /** Last names of the modules that can have low-rank matrices. */
  private final Set<String> supported = new TreeSet<>();

  private final List<Layer> layers = new ArrayList<>();

  private record Layer(
      Optional<Group> qkv, Optional<Group> out, Pair dense, Map<Integer, Pair> experts) {}

  private record Pair(Optional<Group> gateUp, Optional<Group> down) {
    static final Pair NONE = new Pair(Optional.empty(), Optional.empty());

    FeedForwardLora at(long address) {
      return new FeedForwardLora(
          gateUp.map(group -> group.at(address)), down.map(group -> group.at(address)));
    }
  }

  /** Matrices of layers that read the same rows, by offset in the file. */
  private record Group(LoraMatrices offsets) {
    LoraMatrices at(long address) {
      return new LoraMatrices(
          offsets.in(),
          offsets.rank(),
          address + offsets.down(),
          offsets.ups().stream()
              .map(up ->
                  new LoraMatrices.Up(
                      up.first(), up.rank(), up.column(), up.out(), address + up.weights()))
              .toList());
    }
  }

  private LoraPlan(
      AdapterFolder adapter, AdapterConfig.Lora config, AdapterLoader.Base base, AdapterFile file) {
    this.adapter = adapter;
    this.config = config;
    this.base = base;
    this.file = file;
    this.packing = new MatrixPacking(adapter);
  }

  /**
   * @throws BadCheckpoint when the adapter does not fit the base
   */
  static LoraPlan of(
      AdapterFolder adapter, AdapterConfig.Lora config, AdapterLoader.Base base, AdapterFile file) {
    LoraPlan plan = new LoraPlan(adapter, config, base, file);
    plan.read();
    return plan;
  }

  private void read() {
    TextConfig text = base.text();
    config
        .layers()
        .ifPresent(wanted -> {
          if (!wanted.isEmpty() && wanted.last() >= text.layers()) {
            throw new BadCheckpoint(
                "%s: layers_to_transform has layer %d, but the base has layers 0 to %d"
                    .formatted(adapter.folder(), wanted.last(), text.layers() - 1));
          }
        });
    for (int layer = 0; layer < text.layers(); layer++) {
      String name = base.layer(layer);
      boolean grouped = text.latent().isEmpty();
      Optional<Group> qkv = Optional.empty();
      Optional<Group> out = Optional.empty();
      if (grouped) {
        qkv = group(layer, AttentionGraph.projection(text, name + "self_attn."));
        out = group(layer, AttentionGraph.outProjection(text, name + "self_attn."));
      }
      Optional<MoeConfig> moe = text.experts(layer);
      Map<Integer, Pair> experts = new HashMap<>();
      Pair dense = Pair.NONE;
      if (moe.isPresent()) {
        for (int expert = 0; expert < moe.get().experts(); expert++) {
          Pair pair = pair(layer, FeedForward.expert(text, moe.get(), name, expert));
          if (!pair.equals(Pair.NONE)) {
            experts.put(expert, pair);
          }
        }
      } else {
        dense =
            pair(layer, FeedForward.of(name + "mlp.", text.hiddenSize(), text.intermediateSize()));
      }
      layers.add(new Layer(qkv, out, dense, experts));
    }
    refuseUnknownTargets();
    AdapterLoader.refuseSurplus(
        adapter,
        expected,
        "LoRA is supported on these modules of the decoder's layers: %s"
            .formatted(String.join(", ", supported)));
    if (expected.isEmpty()) {
      throw new BadCheckpoint("%s: the adapter has no tensors".formatted(adapter.folder()));
    }
  }

  private Pair pair(int layer, FeedForward feedForward) {
    return new Pair(group(layer, feedForward.gateUp()), group(layer, feedForward.downMatrix()));
  }

  private void refuseUnknownTargets() {
    for (String target : config.targets().orElseGet(Collections::emptySortedSet)) {
      if (!supported.contains(target.substring(target.lastIndexOf('.') + 1))) {
        throw new BadCheckpoint(
            "%s: target_modules has %s, which is not supported with this base; supported: %s"
                .formatted(
                    adapter.folder().resolve(AdapterConfig.LORA_FILE),
                    target,
                    String.join(", ", supported)));
      }
    }
  }

  /** Those of a matrix's layers that have low-rank matrices. */
  private Optional<Group> group(int layer, Matrix matrix) {
    List<Integer> present = new ArrayList<>();
    int[] columns = new int[matrix.outs().length];
    for (int i = 0; i < columns.length; i++) {
      columns[i] = i == 0 ? 0 : columns[i - 1] + matrix.outs()[i - 1];
      String module = module(matrix, i);
      supported.add(module.substring(module.lastIndexOf('.') + 1));
      if (has(layer, module)) {
        adapter.check(a(module), config.rank(), matrix.in());
        adapter.check(b(module), matrix.outs()[i], config.rank());
        expected.add(a(module));
        expected.add(b(module));
        present.add(i);
      }
    }
    if (present.isEmpty()) {
      return Optional.empty();
    }
    int rank = config.rank();
    PackedFloats down = new PackedFloats(matrix.in(), rank * present.size());
    long downAt =
        file.add(
            down.bytes(),
            destination -> {
              for (int k = 0; k < present.size(); k++) {
                FloatBuffer rows =
                    packing.read(a(module(matrix, present.get(k))), rank, matrix.in());
                MatrixPacking.floats(rows, rank, 1, k * rank, down, destination);
              }
            });
    List<LoraMatrices.Up> ups = new ArrayList<>();
    for (int k = 0; k < present.size(); k++) {
      int i = present.get(k);
      int out = matrix.outs()[i];
      PackedFloats up = new PackedFloats(rank, out);
      long upAt =
          file.add(
              up.bytes(),
              destination ->
                  MatrixPacking.floats(
                      packing.read(b(module(matrix, i)), out, rank),
                      out,
                      config.scale(),
                      0,
                      up,
                      destination));
      ups.add(new LoraMatrices.Up(k * rank, rank, columns[i], out, upAt));
    }
    return Optional.of(
        new Group(new LoraMatrices(matrix.in(), rank * present.size(), downAt, ups)));
  }

  /** Whether a module has low-rank matrices, which config and tensors must agree about. */
  private boolean has(int layer, String module) {
    boolean listed = config.layers().map(wanted -> wanted.contains(layer)).orElse(true);
    boolean targeted =
        config
            .targets()
            .map(targets ->
                targets.stream()
                    .anyMatch(target -> module.equals(target) || module.endsWith("." + target)))
            .orElse(listed && adapter.tensorNames().contains(a(module)));
    return listed && targeted;
  }

  private static String module(Matrix matrix, int index) {
    String name = matrix.names().get(index);
    return name.substring(0, name.length() - WEIGHT.length());
  }

  private static String a(String module) {
    return PREFIX + module + ".lora_A" + WEIGHT;
  }

  private static String b(String module) {
    return PREFIX + module + ".lora_B" + WEIGHT;
  }

  /** None: low-rank matrices stand beside the base's experts. */
  @Override
  public int slots() {
    return 0;
  }

  @Override
  public AdapterLayers layers(long address) {
    return new AdapterLayers(
        layers.stream()
            .map(layer -> {
              Map<Integer, FeedForwardLora> experts = new HashMap<>();
              layer.experts().forEach((expert, pair) -> experts.put(expert, pair.at(address)));
              return new AdapterLayers.Layer(
                  null,
                  layer.qkv().map(group -> group.at(address)),
                  layer.out().map(group -> group.at(address)),
                  layer.dense().at(address),
                  experts);
            })
            .toList());
  }
}
