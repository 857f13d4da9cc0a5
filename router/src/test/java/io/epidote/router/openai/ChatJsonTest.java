package io.epidote.router.openai;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.router.TestModel;
import io.epidote.router.request.AnswerListener.Piece;
import io.epidote.router.request.CacheSalt;
import io.epidote.router.request.Slo;
import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ChatJsonTest {
  private final ChatJson json = new ChatJson(call(), new TestModel(), 1234);

  private static ApiCall call() {
    String body =
        """
        {"model": "say \\"content\\":\\"\\" twice", "n": 2, "stream": true,
         "messages": [{"role": "user", "content": "x"}]}\
        """;
    return new ChatRequestReader(new TestModel())
        .read(
            new JsonBodies(1 << 20)
                .parse(new ByteArrayInputStream(body.getBytes(StandardCharsets.UTF_8))),
            new CallHead("id-7", CacheSalt.NONE, Slo.NONE, ""));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"", "word", " \"quoted\" \\ back", "line\nbreak\t\u0001", "Ünï日本😀", "</script>"})
  void anEventWithItsTextPutInSaysWhatTheWholeTreeWould(String text) throws Exception {
    for (int choice : new int[] {1, 0, 1}) {
      Piece piece = new Piece(choice, text, List.of());
      JsonNode later = parse(json.deltaEvent(piece, false));
      JsonNode first = parse(json.deltaEvent(piece, true));
      assertThat(later.at("/choices/0/index").asInt()).isEqualTo(choice);
      assertThat(later.at("/choices/0/delta/content").asText("?")).isEqualTo(text);
      assertThat(later.at("/choices/0/delta").has("role")).isFalse();
      // The first one, which is written as a tree, differs by the role alone.
      ((ObjectNode) first.at("/choices/0/delta")).remove("role");
      assertThat(later).isEqualTo(first);
    }
  }

  private static JsonNode parse(byte[] event) throws Exception {
    String text = new String(event, StandardCharsets.UTF_8);
    assertThat(text).startsWith("data: ").endsWith("\n\n");
    assertThat(text.strip()).doesNotContain("\n");
    return new ObjectMapper().readTree(text.substring(6));
  }
}
