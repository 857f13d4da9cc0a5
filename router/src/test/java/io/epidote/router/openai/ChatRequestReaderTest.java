package io.epidote.router.openai;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.sampling.Penalties;
import io.epidote.engine.sampling.TokenRules;
import io.epidote.router.TestModel;
import io.epidote.router.request.CacheSalt;
import io.epidote.router.request.InvalidField;
import io.epidote.router.request.MediaInput;
import io.epidote.router.request.PromptInput;
import io.epidote.router.request.Slo;
import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.Set;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class ChatRequestReaderTest {
  private static final String HELLO = "\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]";

  private final JsonBodies bodies = new JsonBodies(1 << 20);
  private final ChatRequestReader reader = new ChatRequestReader(new TestModel());

  private ApiCall read(String body) {
    return read(body.getBytes(StandardCharsets.UTF_8));
  }

  private ApiCall read(byte[] body) {
    return reader.read(
        bodies.parse(new ByteArrayInputStream(body)),
        new CallHead("id", CacheSalt.NONE, Slo.NONE, ""));
  }

  @Test
  void readsEveryFieldThatItKnowsAndIgnoresTheRest() {
    ApiCall call =
        read(
            """
            {"model":"m","messages":[
              {"role":"developer","content":"be brief"},
              {"role":"user","name":"x","content":[
                {"type":"text","text":"what is "},
                {"type":"image_url","image_url":{"url":"data:image/png;base64,aGk=","detail":"low"}}]}],
             "stream":true,"stream_options":{"include_usage":true,"other":1},
             "max_tokens":7,"temperature":0.5,"top_p":0.9,"top_k":40,"seed":-3,"stop":["a","b"],"stop_token_ids":[5],
             "presence_penalty":-2,"frequency_penalty":0.25,"repetition_penalty":1.5,"min_tokens":7,
             "min_p":0.25,"logit_bias":{"7":-100,"8":0.5},"allowed_token_ids":[7,8],
             "logprobs":true,"top_logprobs":2,"n":2,"ignore_eos":true,"user":"u","timeline":true,
             "response_format":{"type":"text"},"tools":null}\
            """);
    assertThat(call.stream()).isTrue();
    assertThat(call.includeUsage()).isTrue();
    assertThat(call.timeline()).isTrue();
    assertThat(call.request().model()).isEqualTo("m");
    assertThat(call.request().choices()).isEqualTo(2);
    assertThat(call.request().sampling())
        .isEqualTo(
            new io.epidote.router.request.Sampling(
                7,
                0.5f,
                0.9f,
                40,
                -3,
                List.of("a", "b"),
                Set.of(5),
                true,
                2,
                new Penalties(0.25f, -2, 1.5f),
                7,
                0.25f,
                new TokenRules(Map.of(7, -100f, 8, 0.5f), Set.of(7, 8))));
    assertThat(call.request().prompt())
        .isEqualTo(
            new PromptInput.Chat(
                List.of(
                    new PromptInput.Turn("system", List.of(new PromptInput.Text("be brief"))),
                    new PromptInput.Turn(
                        "user",
                        List.of(
                            new PromptInput.Text("what is "),
                            new PromptInput.Media(
                                new MediaInput.Picture(ByteString.copyFromUtf8("hi"))))))));
  }

  @Test
  void defaultsAreThoseOfTheContract() {
    ApiCall call = read("{" + HELLO + "}");
    assertThat(call.request().sampling().temperature()).isEqualTo(1f);
    assertThat(call.request().sampling().topP()).isEqualTo(1f);
    assertThat(call.request().sampling().topK()).isZero();
    assertThat(call.request().sampling().logprobs()).isEqualTo(-1);
    assertThat(call.request().sampling().penalties()).isEqualTo(Penalties.NONE);
    assertThat(call.request().sampling().minTokens()).isZero();
    assertThat(call.request().choices()).isEqualTo(1);
    assertThat(call.stream()).isFalse();
  }

  @Test
  void stopMayBeOneString() {
    assertThat(read("{" + HELLO + ",\"stop\":\"end\"}").request().sampling().stop())
        .containsExactly("end");
  }

  @Test
  void maxCompletionTokensIsTheNewerName() {
    assertThat(
            read("{" + HELLO + ",\"max_completion_tokens\":3,\"max_tokens\":9}")
                .request()
                .sampling()
                .maxTokens())
        .isEqualTo(3);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "\"temperature\":\"hot\"| temperature| string \"hot\"",
        "\"temperature\":-0.1| temperature| -0.1",
        "\"temperature\":2.1| temperature| from 0 to 2",
        "\"temperature\":1e999| temperature| Infinity",
        "\"top_p\":0| top_p| over 0 to 1",
        "\"top_p\":1.5| top_p| 1.5",
        "\"top_p\":1e-60| top_p| over 0 to 1",
        "\"top_p\":[1]| top_p| a list",
        "\"top_k\":-1| top_k| -1",
        "\"top_k\":1.5| top_k| whole number",
        "\"max_tokens\":0| max_tokens| from 1",
        "\"max_tokens\":-5| max_tokens| -5",
        "\"max_tokens\":1e3| max_tokens| whole number",
        "\"max_tokens\":99999999999999999999| max_tokens| 64 bits",
        "\"max_completion_tokens\":3000000000| max_completion_tokens| 2147483647",
        "\"presence_penalty\":2.1| presence_penalty| from -2 to 2",
        "\"presence_penalty\":\"2\"| presence_penalty| a number",
        "\"frequency_penalty\":-2.1| frequency_penalty| from -2 to 2",
        "\"repetition_penalty\":0| repetition_penalty| over 0",
        "\"repetition_penalty\":-1| repetition_penalty| over 0",
        "\"repetition_penalty\":1e-60| repetition_penalty| over 0",
        "\"repetition_penalty\":1e60| repetition_penalty| over 0",
        "\"min_p\":1.1| min_p| from 0 to 1",
        "\"min_p\":\"0.5\"| min_p| a number",
        "\"logit_bias\":[7]| logit_bias| an object",
        "\"logit_bias\":{\"the\":1}| logit_bias| token ids",
        "\"logit_bias\":{\"7\":null}| logit_bias| token ids",
        "\"logit_bias\":{\"7\":101}| logit_bias[7]| from -100 to 100",
        "\"logit_bias\":{\"7\":\"1\"}| logit_bias.7| a number",
        "\"logit_bias\":{\"9999999999\":1}| logit_bias| whole number from 0",
        "\"allowed_token_ids\":7| allowed_token_ids| a list of token ids",
        "\"allowed_token_ids\":[-1]| allowed_token_ids[0]| whole number from 0",
        "\"min_tokens\":-1| min_tokens| -1",
        "\"min_tokens\":8,\"max_tokens\":7| min_tokens| max_tokens is 7",
        "\"seed\":1e40| seed| whole number",
        "\"seed\":\"1\"| seed| string \"1\"",
        "\"n\":0| n| from 1 to 8",
        "\"n\":9| n| from 1 to 8",
        "\"n\":true| n| true",
        "\"stop\":5| stop| a string or a list",
        "\"stop\":[\"a\",5]| stop[1]| a string",
        "\"stop\":[\"\"]| stop[0]| 1 to 256",
        "\"logprobs\":1| logprobs| true or false",
        "\"top_logprobs\":3| top_logprobs| set logprobs",
        "\"logprobs\":true,\"top_logprobs\":21| top_logprobs| from 0 to 20",
        "\"stream\":\"yes\"| stream| true or false",
        "\"stream_options\":true| stream_options| an object",
        "\"stream_options\":{\"include_usage\":1}| stream_options.include_usage| true or false",
        "\"ignore_eos\":0| ignore_eos| true or false",
        "\"timeline\":{}| timeline| an object",
        "\"model\":7| model| a string",
      })
  void parametersThatAreWrongAreNamed(String field, String path, String words) {
    assertInvalid("{" + HELLO + "," + field + "}", path, words);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "{}| messages| is missing",
        "{\"messages\":null}| messages| is missing",
        "{\"messages\":[]}| messages| is empty",
        "{\"messages\":\"hi\"}| messages| a list of messages",
        "{\"messages\":[7]}| messages[0]| an object",
        "{\"messages\":[{\"content\":\"x\"}]}| messages[0].role| is missing",
        "{\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}| messages[0].role| user, assistant or system",
        "{\"messages\":[{\"role\":5,\"content\":\"x\"}]}| messages[0].role| a string",
        "{\"messages\":[{\"role\":\"user\"}]}| messages[0].content| is missing",
        "{\"messages\":[{\"role\":\"user\",\"content\":null}]}| messages[0].content| is missing",
        "{\"messages\":[{\"role\":\"user\",\"content\":{}}]}| messages[0].content| a list of parts",
        "{\"messages\":[{\"role\":\"user\",\"content\":[3]}]}| messages[0].content[0]| an object",
        "{\"messages\":[{\"role\":\"user\",\"content\":[{}]}]}| messages[0].content[0].type| is missing",
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"video\"}]}]}| messages[0].content[0].type| text, image_url or video_url",
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}| messages[0].content[0].text| is missing",
        "[]| body| an object",
        "7| body| an object",
      })
  void messagesThatAreWrongAreNamed(String body, String path, String words) {
    assertInvalid(body, path, words);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "http://example.com/a.png| only data: URIs",
        "HTTPS://example.com/a.png| only data: URIs",
        "file:///etc/passwd| no data: URI",
        "data:image/png,abc| without base64",
        "data:image/png;base64| without base64",
        "data:image/png;base64,a*b=| not valid base64",
        "data:image/png;base64,aGk| x",
        "data:image/png;base64,aGk=\\u0142| not valid base64",
      })
  void imageUrlsThatAreWrongAreNamed(String url, String words) {
    String body =
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"%s\"}}]}]}"
            .formatted(url);
    if (words.equals("x")) {
      // Missing padding is harmless: every decoder agrees on the bytes.
      assertThat(read(body).request().prompt().media().getFirst().data().toStringUtf8())
          .isEqualTo("hi");
      return;
    }
    assertInvalid(body, "messages[0].content[0].image_url.url", words);
  }

  @Test
  void framesOfAVideoAreReadOneByOne() {
    assertThat(read(video("data:video/jpeg;base64,aGk=,aG8=", "")).request().prompt().media())
        .containsExactly(
            new MediaInput.Video(
                List.of(ByteString.copyFromUtf8("hi"), ByteString.copyFromUtf8("ho")), 1));
    assertThat(read(video("data:image/gif;base64,aGk=", ",\"fps\":2.5")).request().prompt().media())
        .containsExactly(new MediaInput.Video(List.of(ByteString.copyFromUtf8("hi")), 2.5));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "data:video/mp4;base64,aGk=| | no video containers: send the frames",
        "data:video/mp4;base64,aGk=| | data:video/jpeg;base64,FRAME1,FRAME2",
        "data:image/png;base64,aGk=| | is of the type \"image/png\"",
        "http://example.com/a.mp4| | only data: URIs",
        "data:video/jpeg;base64,aGk=,| | an empty frame, 2 of 2",
        "data:video/jpeg;base64,aGk=,a*b=| | not valid base64",
        "data:image/gif;base64,aGk=,aGk=| | not valid base64",
        "data:video/jpeg;base64,aGk=| ,\"fps\":0| 0.0 frames per second",
      })
  void videoUrlsThatAreWrongAreNamed(String url, String more, String words) {
    assertInvalid(
        video(url, more == null ? "" : more), "messages[0].content[0].video_url.url", words);
  }

  private static String video(String url, String more) {
    return "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"video_url\",\"video_url\":{\"url\":\"%s\"%s}}]}]}"
        .formatted(url, more);
  }

  private void assertInvalid(String body, String path, String words) {
    assertThatThrownBy(() -> read(body))
        .isInstanceOfSatisfying(
            InvalidField.class, error -> assertThat(error.path()).isEqualTo(path))
        .hasMessageContaining(words);
  }

  @ParameterizedTest
  @ValueSource(strings = {"{", "{\"a\":}", "nonsense", "{} {}", "{\"a\":1,}", "{\"a\":NaN}"})
  void malformedJsonIsToldByLineAndColumn(String body) {
    assertThatThrownBy(() -> read(body))
        .isInstanceOf(EpidoteException.InvalidRequest.class)
        .hasMessageStartingWith("The body is not JSON: line 1, column ");
  }

  @Test
  void theLineIsTheRightOne() {
    assertThatThrownBy(() -> read("{\n  \"model\": \"m\",\n  oops\n}"))
        .hasMessageContaining("line 3, column ");
  }

  @Test
  void anEmptyBodyIsTold() {
    assertThatThrownBy(() -> read("")).hasMessageContaining("The body is empty");
  }

  @Test
  void nestingIsBounded() {
    assertThatThrownBy(() -> read("[".repeat(100_000)))
        .isInstanceOf(EpidoteException.InvalidRequest.class)
        .hasMessageContaining("nesting");
  }

  @Property(tries = 1000)
  void anyBytesAreAnsweredOrRefusedInOrder(@ForAll byte[] body) {
    try {
      read(body);
    } catch (InvalidField | EpidoteException.InvalidRequest expected) {
      assertThat(expected.getMessage()).isNotEmpty();
    }
  }
}
