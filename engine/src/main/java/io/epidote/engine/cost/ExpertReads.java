package io.epidote.engine.cost;

import io.epidote.engine.checkpoint.MoeConfig;
import io.epidote.engine.checkpoint.TextConfig;
import java.util.stream.IntStream;

/** How many experts of a model a step is expected to read. */
public record ExpertReads(TextConfig text) {
  /** Of all layers together, when gates spread that many tokens evenly; 0 of a dense model. */
  public double distinct(double tokens) {
    if (text.moe().isEmpty()) {
      return 0;
    }
    MoeConfig moe = text.moe().get();
    long layers =
        IntStream.range(0, text.layers()).filter(layer -> text.experts(layer).isPresent()).count();
    return layers * StepWork.distinctExperts(moe.experts(), moe.expertsPerToken(), tokens);
  }
}
