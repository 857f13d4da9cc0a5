package io.epidote.router.request;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.trace.OpenSpan;
import io.epidote.node.trace.TraceParent;
import io.epidote.node.trace.Tracing;
import io.epidote.proto.v1.FinishReason;
import io.epidote.proto.v1.Timeline;
import java.util.List;
import java.util.Locale;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.slf4j.spi.LoggingEventBuilder;

/**
 * Tells of each request what it was and how it ended: as a span, when it is traced, whose names are
 * OpenTelemetry's for generative AI, and as a line of the log, when lines are asked for. What was
 * asked and answered is told only when that is asked for, too.
 */
public final class RequestWatch {
  /**
   * What is logged of requests.
   *
   * @param lines one for each request that ends
   * @param content what was asked and answered in it
   */
  public record LogRules(boolean lines, boolean content) {
    public static final LogRules NONE = new LogRules(false, false);
  }

  private static final Logger log = LoggerFactory.getLogger("io.epidote.requests");

  private final Tracing tracing;
  private final LogRules rules;
  private final String model;

  /**
   * @param model the served model's name
   */
  public RequestWatch(Tracing tracing, LogRules rules, String model) {
    this.tracing = requireNonNull(tracing, "tracing is null");
    this.rules = requireNonNull(rules, "rules is null");
    this.model = requireNonNull(model, "model is null");
  }

  /** A request begins, for the caller in the gRPC context. */
  Story begin(GenerationRequest request) {
    boolean chat = request.prompt() instanceof PromptInput.Chat;
    String operation = chat ? "chat" : "text_completion";
    String shown = request.shownModel(model);
    OpenSpan span = tracing.receive(operation + " " + shown, TraceParent.current());
    if (span.isRecorded()) {
      Sampling sampling = request.sampling();
      span.attribute("gen_ai.operation.name", operation);
      span.attribute("gen_ai.provider.name", "epidote");
      span.attribute("gen_ai.request.model", shown);
      span.attribute("gen_ai.response.model", shown);
      span.attribute("gen_ai.response.id", request.id());
      span.attribute("gen_ai.request.choice.count", request.choices());
      if (sampling.maxTokens() != Sampling.AS_MANY_AS_FIT) {
        span.attribute("gen_ai.request.max_tokens", sampling.maxTokens());
      }
      span.attribute("gen_ai.request.temperature", sampling.temperature());
      span.attribute("gen_ai.request.top_p", sampling.topP());
      span.attribute("gen_ai.request.top_k", sampling.topK());
      span.attribute("gen_ai.request.seed", sampling.seed());
    }
    return new Story(request, span);
  }

  /** One request, from its admission to its end. Used within its turn. */
  final class Story {
    private final GenerationRequest request;
    private final OpenSpan span;
    private final StringBuilder answer = new StringBuilder();
    private String error = "";
    private String message = "";

    private Story(GenerationRequest request, OpenSpan span) {
      this.request = request;
      this.span = span;
    }

    OpenSpan span() {
      return span;
    }

    void text(AnswerListener.Piece piece) {
      if (rules.content()) {
        answer.append(piece.text());
      }
    }

    void failed(EpidoteException why) {
      error = ErrorKinds.of(why);
      message = String.valueOf(why.getMessage());
    }

    /**
     * @param reason null for a failure
     * @param timeline the router's part, with the topology
     */
    void ended(
        @Nullable FinishReason reason,
        int promptTokens,
        int answerTokens,
        Supplier<Timeline> timeline) {
      if (span.isRecorded()) {
        trace(reason, promptTokens, answerTokens, timeline.get());
      }
      span.end();
      if (rules.lines()) {
        write(reason, promptTokens, answerTokens, timeline.get());
      }
    }

    private void trace(
        @Nullable FinishReason reason, int promptTokens, int answerTokens, Timeline timeline) {
      span.attribute("gen_ai.usage.input_tokens", promptTokens);
      span.attribute("gen_ai.usage.output_tokens", answerTokens);
      span.attribute("epidote.topology", timeline.getTopology());
      span.attribute("epidote.router_ms", timeline.getRouterMs());
      span.attribute("epidote.ttft_ms", timeline.getTtftMs());
      span.attribute("epidote.recoveries", timeline.getRecoveries());
      if (reason == null) {
        span.failed(error, message);
      } else {
        span.attribute("gen_ai.response.finish_reasons", List.of(word(reason)));
      }
    }

    private void write(
        @Nullable FinishReason reason, int promptTokens, int answerTokens, Timeline timeline) {
      LoggingEventBuilder line =
          log.atInfo()
              .setMessage(reason == null ? "request failed" : "request ended")
              .addKeyValue("request_id", request.id())
              .addKeyValue("model", request.shownModel(model))
              .addKeyValue("outcome", reason == null ? error : word(reason))
              .addKeyValue("prompt_tokens", promptTokens)
              .addKeyValue("completion_tokens", answerTokens)
              .addKeyValue("router_ms", rounded(timeline.getRouterMs()))
              .addKeyValue("ttft_ms", rounded(timeline.getTtftMs()))
              .addKeyValue("total_ms", rounded(timeline.getTotalMs()))
              .addKeyValue("topology", timeline.getTopology())
              .addKeyValue("recoveries", timeline.getRecoveries());
      if (!request.tenant().isEmpty()) {
        line = line.addKeyValue("tenant", request.tenant());
      }
      if (reason == null) {
        line = line.addKeyValue("error", message);
      }
      if (!span.traceId().isEmpty()) {
        line = line.addKeyValue("trace_id", span.traceId());
      }
      if (rules.content()) {
        line =
            line.addKeyValue("prompt", asked(request.prompt()))
                .addKeyValue("answer", answer.toString());
      }
      line.log();
    }

    private static double rounded(double ms) {
      return Math.round(ms * 1000) / 1000.0;
    }

    private static String word(FinishReason reason) {
      return reason.name().substring("FINISH_REASON_".length()).toLowerCase(Locale.ROOT);
    }

    /** Text alone; what else there is has its kind. */
    private static String asked(PromptInput prompt) {
      return switch (prompt) {
        case PromptInput.Plain plain -> plain.text();
        case PromptInput.Tokens tokens -> "<%d tokens>".formatted(tokens.ids().size());
        case PromptInput.Chat chat ->
            chat.turns().stream()
                .map(turn ->
                    turn.role()
                        + ": "
                        + turn.content().stream()
                            .map(part ->
                                part instanceof PromptInput.Text text ? text.text() : "<media>")
                            .collect(Collectors.joining(" ")))
                .collect(Collectors.joining("\n"));
      };
    }
  }
}
