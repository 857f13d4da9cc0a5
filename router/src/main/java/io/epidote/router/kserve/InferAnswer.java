package io.epidote.router.kserve;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.protobuf.ByteString;
import io.epidote.proto.kserve.v2.InferParameter;
import io.epidote.proto.kserve.v2.InferTensorContents;
import io.epidote.proto.kserve.v2.ModelInferResponse;
import io.epidote.proto.kserve.v2.ModelInferResponse.InferOutputTensor;
import io.epidote.proto.stage.v1.CandidateToken;
import io.epidote.proto.stage.v1.SampledToken;
import io.epidote.proto.v1.FinishReason;
import io.epidote.router.request.AnswerListener.Finish;
import io.epidote.router.request.AnswerListener.Piece;
import io.epidote.router.request.ServedModel;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * The answers of a request since its last response, and the responses that they make: an element of
 * each output for each answer. Within the request's turn.
 */
final class InferAnswer {
  static final String VERSION = "1";
  private static final JsonNodeFactory JSON = JsonNodeFactory.instance;

  private final InferCall call;
  private final ServedModel model;
  private final StringBuilder[] texts;
  private final List<List<SampledToken>> tokens;
  private final String[] reasons;

  /** Of the whole answers, as vLLM has it. */
  private final float[] logprobs;

  private int inputTokens;

  InferAnswer(InferCall call, ServedModel model) {
    this.call = call;
    this.model = model;
    int choices = call.choices();
    this.texts = new StringBuilder[choices];
    Arrays.setAll(texts, _ -> new StringBuilder(call.prepended()));
    this.tokens =
        IntStream.range(0, choices).<List<SampledToken>>mapToObj(_ -> new ArrayList<>()).toList();
    this.reasons = new String[choices];
    Arrays.fill(reasons, "None");
    this.logprobs = new float[choices];
  }

  void started(int promptTokens) {
    inputTokens = promptTokens;
  }

  void add(Piece piece) {
    texts[piece.choice()].append(piece.text());
    tokens.get(piece.choice()).addAll(piece.tokens());
    for (SampledToken token : piece.tokens()) {
      logprobs[piece.choice()] += token.getLogprob();
    }
  }

  void add(Finish finish) {
    reasons[finish.choice()] = name(finish.reason());
  }

  /** What came since the last response; the next one begins empty. */
  ModelInferResponse take(boolean last) {
    ModelInferResponse.Builder response =
        ModelInferResponse.newBuilder()
            .setModelName(call.request().shownModel(model.name()))
            .setModelVersion(VERSION)
            .setId(call.id())
            .putParameters(
                "triton_final_response", InferParameter.newBuilder().setBoolParam(last).build());
    response.addOutputs(strings("text_output", Arrays.stream(texts).map(Object::toString)));
    InferCall.Wanted wanted = call.wanted();
    if (wanted.finishReason()) {
      response.addOutputs(strings("finish_reason", Arrays.stream(reasons)));
    }
    if (wanted.cumulativeLogprob()) {
      InferTensorContents.Builder contents = InferTensorContents.newBuilder();
      for (float logprob : logprobs) {
        contents.addFp32Contents(logprob);
      }
      response.addOutputs(output("cumulative_logprob", "FP32", call.choices(), contents));
    }
    if (wanted.logprobs()) {
      response.addOutputs(strings("logprobs", tokens.stream().map(this::logprobs)));
    }
    if (wanted.inputTokens()) {
      response.addOutputs(
          output(
              "num_input_tokens",
              "UINT32",
              1,
              InferTensorContents.newBuilder().addUintContents(inputTokens)));
    }
    if (wanted.outputTokens()) {
      InferTensorContents.Builder contents = InferTensorContents.newBuilder();
      tokens.forEach(answer -> contents.addUintContents(answer.size()));
      response.addOutputs(output("num_output_tokens", "UINT32", call.choices(), contents));
    }
    for (int choice = 0; choice < call.choices(); choice++) {
      texts[choice].setLength(0);
      tokens.get(choice).clear();
    }
    return response.build();
  }

  /** A list with an object for each token: candidates by their ids. */
  private String logprobs(List<SampledToken> answer) {
    ArrayNode list = JSON.arrayNode();
    for (SampledToken token : answer) {
      ObjectNode entry = list.addObject();
      int rank = 0;
      for (CandidateToken candidate : token.getCandidatesList()) {
        rank++;
        put(entry, candidate.getTokenId(), candidate.getLogprob()).put("rank", rank);
      }
      if (!entry.has(Integer.toString(token.getTokenId()))) {
        // Where it stands among those that were not asked for nobody has counted.
        put(entry, token.getTokenId(), token.getLogprob()).putNull("rank");
      }
    }
    return list.toString();
  }

  private ObjectNode put(ObjectNode entry, int token, float logprob) {
    ObjectNode shown = entry.putObject(Integer.toString(token));
    if (Float.isFinite(logprob)) {
      shown.put("logprob", logprob);
    } else {
      shown.putNull("logprob");
    }
    return shown.put("decoded_token", model.tokenText(token));
  }

  private static InferOutputTensor strings(String name, Stream<String> elements) {
    InferTensorContents.Builder contents = InferTensorContents.newBuilder();
    elements.forEach(element -> contents.addBytesContents(ByteString.copyFromUtf8(element)));
    return output(name, "BYTES", contents.getBytesContentsCount(), contents);
  }

  private static InferOutputTensor output(
      String name, String type, int size, InferTensorContents.Builder contents) {
    return InferOutputTensor.newBuilder()
        .setName(name)
        .setDatatype(type)
        .addShape(size)
        .setContents(contents)
        .build();
  }

  private static String name(FinishReason reason) {
    return reason.name().replace("FINISH_REASON_", "").toLowerCase(Locale.ROOT);
  }
}
