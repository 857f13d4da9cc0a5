package io.epidote.engine.model;

import io.epidote.engine.checkpoint.TextConfig;
import io.epidote.engine.kernel.AdapterStep;
import io.epidote.engine.kernel.AttentionShape;
import io.epidote.engine.kernel.ExpertLoad;
import io.epidote.engine.kernel.ExpertOperator;
import io.epidote.engine.kernel.ExpertShape;
import io.epidote.engine.kernel.ExpertSlots;
import io.epidote.engine.kernel.LayerOperators;
import io.epidote.engine.kernel.Operator;
import io.epidote.engine.kernel.PagedAttention;
import io.epidote.engine.kernel.RowOperators;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * The operators of a decoder's graph that are not ONNX Runtime's.
 *
 * @param adapters of their steps
 * @param slots of adapters' experts
 * @param load of experts
 */
record DecoderOperators(
    AdapterStep adapters,
    ExpertSlots slots,
    ExpertLoad load,
    PagedAttention attention,
    RowOperators rows,
    LayerOperators layers,
    Optional<ExpertOperator> experts)
    implements AutoCloseable {
  static DecoderOperators of(TextConfig text, AttentionShape shape, RuntimeOptions options) {
    int threads = options.threads();
    AdapterStep adapters = new AdapterStep();
    Optional<ExpertShape> expertShape =
        text.moe()
            .map(moe ->
                new ExpertShape(
                    text.hiddenSize(),
                    moe.expertIntermediateSize(),
                    moe.experts(),
                    moe.expertsPerToken()));
    ExpertSlots slots =
        new ExpertSlots(text.layers(), expertShape.map(ExpertShape::experts).orElse(0));
    ExpertLoad load =
        new ExpertLoad(text.layers(), expertShape.map(ExpertShape::experts).orElse(0), slots);
    PagedAttention attention = new PagedAttention(shape, threads);
    RowOperators rows = new RowOperators(text.rmsNormEps(), threads);
    return new DecoderOperators(
        adapters,
        slots,
        load,
        attention,
        rows,
        new LayerOperators(attention, rows, adapters, text.intermediateSize(), threads),
        expertShape
            .filter(_ -> options.precision() != Precision.INT4)
            .map(experts ->
                new ExpertOperator(
                    experts,
                    options.precision() == Precision.INT8,
                    slots,
                    adapters,
                    load,
                    threads)));
  }

  List<Operator> all() {
    return Stream.of(
            Stream.of(attention.operator()),
            experts.stream().map(ExpertOperator::operator),
            rows.operators().stream(),
            layers.operators().stream())
        .flatMap(operators -> operators)
        .toList();
  }

  /** Bytes outside the heap that steps work in. */
  long scratchBytes() {
    return attention.scratchBytes()
        + layers.scratchBytes()
        + experts.map(ExpertOperator::scratchBytes).orElse(0L);
  }

  @Override
  public void close() {
    attention.close();
    rows.close();
    layers.close();
    experts.ifPresent(ExpertOperator::close);
  }
}
