package io.epidote.router.cluster;

import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.Stage;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What a request costs each stage now, and what waits there: for forecasts. Of all nodes that have
 * the stage, on average.
 *
 * @param encodeMs of a request's pictures on one node
 * @param prefillMs of a request's prompt
 * @param decodeStepMs fixed part of a step
 * @param decodeAnswerMs what each answer adds to a step
 * @param answersPerNode how many answers a decode node has room for
 * @param waitingEncodeMs work that waits at all encode nodes together
 * @param waitingPrefillMs likewise of prefill
 * @param answers that decode nodes are at
 */
public record StageWork(
    double encodeMs,
    double prefillMs,
    double decodeStepMs,
    double decodeAnswerMs,
    double answersPerNode,
    double waitingEncodeMs,
    double waitingPrefillMs,
    double answers) {
  private static final int BLOCK_TOKENS = io.epidote.engine.model.DecoderShape.BLOCK_TOKENS;

  static StageWork of(List<Member> members, Demand.Rates rates) {
    List<TopologyPlanner.Node> nodes = NodeCosts.of(members, PromptPrefix.UNKNOWN, "");
    double tileMs = 0;
    double pictureMs = 0;
    double waitingEncode = 0;
    int encodes = 0;
    double prefillFixed = 0;
    double prefillUnit = 0;
    double waitingPrefill = 0;
    int prefills = 0;
    double step = 0;
    double answer = 0;
    double answers = 0;
    int decodes = 0;
    for (int place = 0; place < nodes.size(); place++) {
      TopologyPlanner.Node node = nodes.get(place);
      EncodePlanner.@Nullable Node encode = node.encode();
      if (encode != null) {
        encodes++;
        tileMs += encode.tileMs();
        pictureMs += encode.pictureMs();
        waitingEncode += encode.queueMs();
      }
      TopologyPlanner.@Nullable Prefill prefill = node.prefill();
      if (prefill != null) {
        prefills++;
        prefillFixed += prefill.step().fixedMs();
        prefillUnit += prefill.step().unitMs();
        waitingPrefill += prefill.waitingTokens() * prefill.step().unitMs();
      }
      TopologyPlanner.@Nullable Decode decode = node.decode();
      if (decode != null) {
        decodes++;
        step += decode.step().fixedMs();
        answer += decode.step().unitMs();
        // By the report: this router has placed others, which wait for their prompts, behind a
        // backlog say, and slow nobody down yet.
        NodeStatus status = members.get(place).status();
        answers += Math.max(0, status.getDecode().getAnswers() - status.getAwaiting());
      }
    }
    double tokens = rates.promptTokens() + rates.answerTokens();
    return new StageWork(
        encodes == 0 ? 0 : (rates.tiles() * tileMs + rates.pictures() * pictureMs) / encodes,
        prefills == 0 ? 0 : (prefillFixed + rates.promptTokens() * prefillUnit) / prefills,
        decodes == 0 ? 0 : step / decodes,
        decodes == 0 ? 0 : answer / decodes,
        room(members, tokens),
        waitingEncode,
        waitingPrefill,
        answers);
  }

  /** Answers of so many tokens, prompt included, whose blocks a decode node has. */
  private static double room(List<Member> members, double tokens) {
    double blocks =
        members.stream()
            .filter(member -> member.stages().contains(Stage.STAGE_DECODE))
            .map(Member::status)
            .mapToLong(NodeStatus::getKvBlocksTotal)
            .average()
            .orElse(0);
    return Math.max(1, blocks * BLOCK_TOKENS / Math.max(1, tokens));
  }
}
