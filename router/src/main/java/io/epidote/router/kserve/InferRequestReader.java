package io.epidote.router.kserve;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import io.epidote.proto.kserve.v2.InferParameter;
import io.epidote.proto.kserve.v2.ModelInferRequest;
import io.epidote.router.openai.SamplingParameters;
import io.epidote.router.request.GenerationRequest;
import io.epidote.router.request.InvalidField;
import io.epidote.router.request.MediaInput;
import io.epidote.router.request.PromptInput;
import io.epidote.router.request.RequestHeaders;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * From the tensors of vLLM's Triton backend to the validated request: text_input, image, stream,
 * sampling_parameters (or the request's own parameters), exclude_input_in_output and return_….
 */
final class InferRequestReader {
  static final List<String> INPUTS =
      List.of(
          "text_input",
          "image",
          "stream",
          "sampling_parameters",
          "exclude_input_in_output",
          "return_finish_reason",
          "return_cumulative_logprob",
          "return_logprobs",
          "return_num_input_tokens",
          "return_num_output_tokens");

  private static final JsonMapper MAPPER =
      JsonMapper.builder().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS).build();

  private InferRequestReader() {}

  /**
   * @param id that no running request has
   * @param headers of the call
   * @throws InvalidField naming the field that must change
   */
  static InferCall read(ModelInferRequest request, String id, RequestHeaders headers) {
    InputTensors inputs = new InputTensors(request);
    inputs.expect(INPUTS);
    String text =
        inputs
            .text("text_input")
            .orElseThrow(() ->
                new InvalidField("inputs.text_input", "is missing; expected the prompt's text"));
    boolean stream = inputs.flag("stream").orElse(false);
    // As vLLM's backend has it: whole answers begin with their prompt unless told otherwise.
    boolean excluded = inputs.flag("exclude_input_in_output").orElse(stream);
    if (stream && !excluded) {
      throw new InvalidField(
          "inputs.exclude_input_in_output",
          "is false, but a streamed answer has no prompt in front; set it to true, or stream to false");
    }
    InferCall.Wanted wanted =
        new InferCall.Wanted(
            inputs.flag("return_finish_reason").orElse(false),
            inputs.flag("return_cumulative_logprob").orElse(false),
            inputs.flag("return_logprobs").orElse(false),
            inputs.flag("return_num_input_tokens").orElse(false),
            inputs.flag("return_num_output_tokens").orElse(false));
    SamplingParameters parameters = parameters(request, inputs, wanted);
    return new InferCall(
        new GenerationRequest(
            id,
            model(request.getModelName(), parameters.adapter()),
            new PromptInput.Plain(text, pictures(inputs)),
            parameters.sampling(),
            parameters.choices(),
            headers.cacheSalt(),
            headers.slo(),
            headers.tenant(),
            parameters.priority()),
        request.getId(),
        stream,
        excluded ? "" : text,
        wanted);
  }

  private static String model(String name, String adapter) {
    return adapter.isEmpty() ? name : name + GenerationRequest.ADAPTER + adapter;
  }

  private static SamplingParameters parameters(
      ModelInferRequest request, InputTensors inputs, InferCall.Wanted wanted) {
    boolean logprobs = wanted.cumulativeLogprob() || wanted.logprobs();
    Optional<String> json = inputs.text("sampling_parameters");
    if (json.isEmpty()) {
      return SamplingParameters.read(json(request.getParametersMap()), "parameters", logprobs);
    }
    String path = "inputs.sampling_parameters";
    JsonNode read;
    try {
      read = MAPPER.readTree(json.get());
    } catch (JsonProcessingException e) {
      throw new InvalidField(
          path, "is not JSON (%s); expected an object".formatted(e.getOriginalMessage()));
    }
    return SamplingParameters.read(read, path, logprobs);
  }

  private static ObjectNode json(Map<String, InferParameter> parameters) {
    ObjectNode json = JsonNodeFactory.instance.objectNode();
    parameters.forEach((name, value) -> {
      switch (value.getParameterChoiceCase()) {
        case BOOL_PARAM -> json.put(name, value.getBoolParam());
        case INT64_PARAM -> json.put(name, value.getInt64Param());
        case STRING_PARAM -> json.put(name, value.getStringParam());
        case DOUBLE_PARAM -> json.put(name, value.getDoubleParam());
        case UINT64_PARAM -> json.put(name, value.getUint64Param());
        case PARAMETERCHOICE_NOT_SET -> json.putNull(name);
      }
    });
    return json;
  }

  /** Each element is a picture file in base64. */
  private static List<MediaInput> pictures(InputTensors inputs) {
    List<MediaInput> pictures = new ArrayList<>();
    for (ByteString element : inputs.bytes("image")) {
      try {
        pictures.add(
            new MediaInput.Picture(
                UnsafeByteOperations.unsafeWrap(
                    Base64.getDecoder().decode(element.asReadOnlyByteBuffer()))));
      } catch (IllegalArgumentException e) {
        throw new InvalidField(
            "inputs.image[%d]".formatted(pictures.size()),
            "is not valid base64 (%s); expected a picture file in base64"
                .formatted(e.getMessage()));
      }
    }
    return pictures;
  }
}
