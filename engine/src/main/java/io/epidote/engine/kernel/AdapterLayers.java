package io.epidote.engine.kernel;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * What an adapter changes about a decoder, layer by layer. Its owner keeps the weights where they
 * are for as long as steps may use it.
 */
public record AdapterLayers(List<Layer> layers) {
  /** Changes nothing. */
  public static final AdapterLayers NONE = new AdapterLayers(List.of());

  public AdapterLayers {
    layers = List.copyOf(layers);
  }

  /**
   * @param slots of {@link ExpertSlots}, for each of the base's experts the one whose weights take
   *     its place; null where all experts are the base's
   * @param qkv added to the projection to queries, keys and values
   * @param out added to the projection of what attention gives
   * @param dense added to a dense layer
   * @param experts added to the base's experts, by their number
   */
  public record Layer(
      int @Nullable [] slots,
      Optional<LoraMatrices> qkv,
      Optional<LoraMatrices> out,
      FeedForwardLora dense,
      Map<Integer, FeedForwardLora> experts) {
    /** As the base's. */
    public static final Layer UNTOUCHED =
        new Layer(null, Optional.empty(), Optional.empty(), FeedForwardLora.NONE, Map.of());

    public Layer {
      experts = Map.copyOf(experts);
    }
  }

  /** What is added to gate and up side by side, and to down. */
  public record FeedForwardLora(Optional<LoraMatrices> gateUp, Optional<LoraMatrices> down) {
    public static final FeedForwardLora NONE =
        new FeedForwardLora(Optional.empty(), Optional.empty());
  }

  Layer layer(int index) {
    return layers.isEmpty() ? Layer.UNTOUCHED : layers.get(index);
  }
}
