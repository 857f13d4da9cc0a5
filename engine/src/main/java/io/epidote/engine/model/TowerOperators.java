package io.epidote.engine.model;

import io.epidote.engine.checkpoint.VisionConfig;
import io.epidote.engine.kernel.Operator;
import io.epidote.engine.kernel.RowOperators;
import io.epidote.engine.kernel.TileAttention;
import io.epidote.engine.kernel.VisionOperators;
import java.util.List;
import java.util.stream.Stream;

/** The operators of an encoder's graph that are not ONNX Runtime's. */
record TowerOperators(TileAttention attention, VisionOperators rows, RowOperators linear)
    implements AutoCloseable {
  static TowerOperators of(VisionConfig config, int threads) {
    return new TowerOperators(
        new TileAttention(config.heads(), config.hiddenSize() / config.heads(), threads),
        new VisionOperators(config.layerNormEps(), threads),
        // No norm of these is used.
        new RowOperators(0, threads));
  }

  List<Operator> all() {
    return Stream.of(
            Stream.of(attention.operator()), rows.operators().stream(), linear.operators().stream())
        .flatMap(operators -> operators)
        .toList();
  }

  @Override
  public void close() {
    attention.close();
    rows.close();
    linear.close();
  }
}
