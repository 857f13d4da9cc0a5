package io.epidote.engine.cost;

import java.util.List;

/** A stage as the cost model has it: the names of its terms, each in milliseconds a unit. */
public enum CostStage {
  ENCODE("encode_step_ms", "tile_ms"),
  PREFILL(
      "prefill_step_ms",
      "prompt_token_ms",
      "prompt_pair_ms",
      "cached_token_ms",
      "prompt_expert_ms"),
  DECODE("decode_step_ms", "decode_token_ms", "kv_token_ms", "decode_expert_ms");

  private final List<String> terms;

  CostStage(String... terms) {
    this.terms = List.of(terms);
  }

  /** A step of this stage that is these units, the inverse of {@link StepWork#units}. */
  public StepWork work(double[] units) {
    return switch (this) {
      case ENCODE -> new StepWork.Encode(units[1]);
      case PREFILL -> new StepWork.Prefill(units[1], units[2], units[3], units[4]);
      case DECODE -> new StepWork.Decode(units[1], units[2], units[3]);
    };
  }

  /** In the order of {@link StepWork#units}. */
  public List<String> terms() {
    return terms;
  }
}
