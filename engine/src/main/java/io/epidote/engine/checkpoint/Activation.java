package io.epidote.engine.checkpoint;

import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;

/** An activation function, by what it computes rather than by its several names. */
public enum Activation {
  GELU_TANH,
  GELU,
  QUICK_GELU,
  RELU,
  SILU;

  private static final Map<String, Activation> BY_NAME =
      new TreeMap<>(
          Map.of(
              "gelu_pytorch_tanh", GELU_TANH,
              "gelu_new", GELU_TANH,
              "gelu", GELU,
              "quick_gelu", QUICK_GELU,
              "relu", RELU,
              "silu", SILU,
              "swish", SILU));

  static Optional<Activation> ofName(String name) {
    return Optional.ofNullable(BY_NAME.get(name));
  }

  static Set<String> names() {
    return BY_NAME.keySet();
  }
}
