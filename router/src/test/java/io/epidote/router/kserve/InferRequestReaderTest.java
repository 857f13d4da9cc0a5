package io.epidote.router.kserve;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import io.epidote.proto.kserve.v2.InferTensorContents;
import io.epidote.proto.kserve.v2.ModelInferRequest;
import io.epidote.proto.kserve.v2.ModelInferRequest.InferInputTensor;
import io.epidote.router.request.InvalidField;
import io.epidote.router.request.RequestHeaders;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class InferRequestReaderTest {
  /** Whatever a client sends, it is read or refused by name. */
  private static void readOrRefuse(ModelInferRequest request) {
    try {
      assertThat(InferRequestReader.read(request, "id", RequestHeaders.NONE).choices())
          .isBetween(1, 8);
    } catch (InvalidField expected) {
      assertThat(expected.path()).isNotEmpty();
    }
  }

  @Property(tries = 500)
  void anyRawContentsAreReadOrRefused(
      @ForAll byte[] text, @ForAll byte[] second, @ForAll @IntRange(max = 9) int tensor) {
    readOrRefuse(
        ModelInferRequest.newBuilder()
            .addInputs(tensor("text_input", "BYTES", 1))
            .addInputs(
                tensor(
                    InferRequestReader.INPUTS.get(tensor), tensor % 2 == 0 ? "BOOL" : "BYTES", 1))
            .addRawInputContents(ByteString.copyFrom(text))
            .addRawInputContents(ByteString.copyFrom(second))
            .build());
  }

  @Property(tries = 500)
  void anyParametersAreReadOrRefused(@ForAll String parameters, @ForAll long size) {
    readOrRefuse(
        ModelInferRequest.newBuilder()
            .addInputs(bytes("text_input", "x"))
            .addInputs(bytes("sampling_parameters", parameters).toBuilder().setShape(0, size))
            .build());
    readOrRefuse(
        ModelInferRequest.newBuilder()
            .addInputs(bytes("text_input", "x"))
            .addInputs(bytes("sampling_parameters", parameters))
            .build());
  }

  @Property(tries = 500)
  void anyMessageIsReadOrRefused(@ForAll byte[] message) {
    try {
      readOrRefuse(ModelInferRequest.parseFrom(message));
    } catch (InvalidProtocolBufferException expected) {
      assertThat(expected.getMessage()).isNotEmpty();
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "{\"temperature\":\"0.5 0.6\"}|temperature|a number",
        "{\"max_tokens\":\"many\"}|max_tokens|whole number",
        "{\"stop\":\"[\\\"a\\\",5]\"}|stop[1]|a string",
        "{\"lora_name\":5}|lora_name|a string",
        "{\"n\":\"9\"}|n|from 1 to 8",
        "{\"seed\":{\"a\":1}}|seed|an object",
      })
  void parametersThatCannotBeAreNamed(String json, String field, String words) {
    ModelInferRequest request =
        ModelInferRequest.newBuilder()
            .addInputs(bytes("text_input", "x"))
            .addInputs(bytes("sampling_parameters", json))
            .build();
    assertThatThrownBy(() -> InferRequestReader.read(request, "id", RequestHeaders.NONE))
        .isInstanceOfSatisfying(
            InvalidField.class,
            error -> assertThat(error.path()).isEqualTo("inputs.sampling_parameters." + field))
        .hasMessageContaining(words);
  }

  private static InferInputTensor tensor(String name, String type, long size) {
    return InferInputTensor.newBuilder().setName(name).setDatatype(type).addShape(size).build();
  }

  private static InferInputTensor bytes(String name, String element) {
    return tensor(name, "BYTES", 1).toBuilder()
        .setContents(
            InferTensorContents.newBuilder().addBytesContents(ByteString.copyFromUtf8(element)))
        .build();
  }
}
