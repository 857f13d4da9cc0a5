package io.epidote.planner;

import io.epidote.engine.cost.StepWork;
import io.epidote.planner.sim.ClusterShape.Device;
import io.epidote.planner.sim.Request;
import java.util.List;

/**
 * The rate that nodes can never get beyond, if none of them is ever idle and every batch is as
 * large as it may be: what is looked for above it is in vain.
 */
public final class Capacity {
  private final Device device;
  private final List<Request> mix;

  /**
   * @param mix of which each request is as likely as the others
   */
  public Capacity(Device device, List<Request> mix) {
    this.device = device;
    this.mix = List.copyOf(mix);
  }

  private double mean(java.util.function.ToDoubleFunction<Request> ms) {
    return mix.stream().mapToDouble(ms).average().orElse(0);
  }

  /** Of encode nodes for a request. */
  double encodeMs() {
    double tileMs = device.encode().ms(new StepWork.Encode(device.maxTiles())) / device.maxTiles();
    return mean(request -> request.spans().size() * tileMs);
  }

  /** Of prefill nodes for a request, the steps themselves not counted. */
  double prefillMs() {
    double step = device.prefill().of("prefill_step_ms");
    return mean(request -> {
      double tokens = request.promptTokens();
      return device.prefill().ms(new StepWork.Prefill(tokens, tokens * tokens / 2, 0, 0)) - step;
    });
  }

  /** Of decode nodes for a request, in steps of so many answers. */
  double decodeMs(int batch) {
    return mean(request -> {
      double kv = (double) batch * request.promptTokens();
      double step = device.decode().ms(new StepWork.Decode(batch, kv, 0));
      return (request.answerTokens() - 1) * step / batch;
    });
  }

  /** Requests a second. For every set of stages: its work, and the nodes that can do any of it. */
  public double rate(Plan plan) {
    double e = encodeMs();
    double p = prefillMs();
    double d = decodeMs(plan.decodeBatch());
    double least = Double.MAX_VALUE;
    for (int set = 1; set < 8; set++) {
      boolean encode = (set & 1) > 0;
      boolean prefill = (set & 2) > 0;
      boolean decode = (set & 4) > 0;
      double work = (encode ? e : 0) + (prefill ? p : 0) + (decode ? d : 0);
      if (work > 0) {
        least = Math.min(least, 1000 * plan.layout().withAny(encode, prefill, decode) / work);
      }
    }
    return least;
  }
}
