package io.epidote.router.openai;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.router.TestModel;
import io.epidote.router.request.CacheSalt;
import io.epidote.router.request.InvalidField;
import io.epidote.router.request.Slo;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The tables of docs/api.md say what the readers of requests do, field by field. */
class ApiDocTest {
  private static final Path PAGE = Path.of("..", "docs", "api.md");
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final CallHead CALLER = new CallHead("id", CacheSalt.NONE, Slo.NONE, "");

  /** No field can be that. */
  private static final String NONSENSE = "[[[7]]]";

  /** A call with its own table of fields, beside the one of both. */
  enum Call {
    CHAT(
        "/v1/chat/completions",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"logprobs\":true}"),
    COMPLETION("/v1/completions", "{\"prompt\":\"x\"}");

    final String path;
    final String body;

    Call(String path, String body) {
      this.path = path;
      this.body = body;
    }

    ApiCall read(JsonNode request) {
      return switch (this) {
        case CHAT -> new ChatRequestReader(new TestModel()).read(request, CALLER);
        case COMPLETION -> new CompletionRequestReader(new TestModel()).read(request, CALLER);
      };
    }
  }

  /**
   * @param value as JSON; of a field that is taken one that can be, of one that is refused one that
   *     asks for nothing; empty for none
   */
  private record Row(String field, String kind, String value) {}

  /** Remembers which fields a reader asks for. */
  private static final class Watched extends ObjectNode {
    private static final long serialVersionUID = 1L;
    final transient Set<String> asked = new HashSet<>();

    Watched(ObjectNode fields) {
      super(JsonNodeFactory.instance);
      setAll(fields);
    }

    @Override
    public @Nullable JsonNode get(String name) {
      asked.add(name);
      return super.get(name);
    }
  }

  private static List<Row> rows(Call call) throws Exception {
    List<Row> rows = new ArrayList<>();
    boolean inside = false;
    for (String line : Files.readAllLines(PAGE)) {
      if (line.startsWith("## ")) {
        inside =
            line.equals("## Fields of both completions")
                || line.equals("## Fields of `" + call.path + "` alone");
      } else if (inside && line.startsWith("| `") && line.split("\\|").length >= 4) {
        String[] cells = line.split("\\|", -1);
        if (cells.length >= 6) {
          rows.add(new Row(bare(cells[1]), cells[2].strip(), bare(cells[3])));
        }
      }
    }
    assertThat(rows).hasSizeGreaterThan(30);
    return rows;
  }

  @Test
  void everyPartOfAMessageIsTakenOrRefusedAsThePageSays() throws Exception {
    List<String[]> parts = new ArrayList<>();
    boolean inside = false;
    for (String line : Files.readAllLines(PAGE)) {
      if (inside && line.startsWith("| `")) {
        parts.add(line.split("\\|", -1));
      }
      inside = line.startsWith("| part |") || (inside && line.startsWith("|"));
    }
    assertThat(parts).hasSize(6);
    for (String[] cells : parts) {
      String type = bare(cells[1]);
      // Of a known type the content is missing, of an unknown one the type is wrong.
      String expected =
          switch (cells[2].strip()) {
            case "taken" -> "messages[0].content[0]." + type;
            case "refused" -> "messages[0].content[0].type";
            default -> throw new AssertionError("not a kind of part: " + cells[2]);
          };
      String messages = "[{\"role\":\"user\",\"content\":[{\"type\":\"%s\"}]}]".formatted(type);
      assertThatThrownBy(() -> Call.CHAT.read(with(Call.CHAT, "messages", messages)))
          .isInstanceOfSatisfying(
              InvalidField.class, error -> assertThat(error.path()).isEqualTo(expected));
    }
  }

  private static String bare(String cell) {
    return cell.strip().replaceAll("^`|`$", "");
  }

  private static ObjectNode with(Call call, String field, String value) throws Exception {
    ObjectNode body = (ObjectNode) JSON.readTree(call.body);
    return body.set(field, JSON.readTree(value));
  }

  @ParameterizedTest
  @EnumSource(Call.class)
  void everyFieldIsTakenRefusedOrIgnoredAsThePageSays(Call call) throws Exception {
    ApiCall plain = call.read(with(call, "seed", "1"));
    for (Row row : rows(call)) {
      switch (row.kind()) {
        case "taken" -> {
          assertThatCode(() -> call.read(with(call, row.field(), row.value())))
              .as("%s with %s", row.field(), row.value())
              .doesNotThrowAnyException();
          assertNamed(call, row.field(), NONSENSE);
        }
        case "refused" -> {
          if (!row.value().isEmpty()) {
            ObjectNode harmless = with(call, row.field(), row.value());
            harmless.put("seed", 1);
            assertThat(call.read(harmless)).as(row.field()).isEqualTo(plain);
          }
          assertNamed(call, row.field(), NONSENSE);
          assertNamed(call, row.field(), "0.25");
        }
        case "ignored" -> {
          ObjectNode body = with(call, row.field(), NONSENSE);
          body.put("seed", 1);
          assertThat(call.read(body)).as(row.field()).isEqualTo(plain);
        }
        default -> throw new AssertionError("not a kind of field: " + row);
      }
    }
  }

  private static void assertNamed(Call call, String field, String value) {
    assertThatThrownBy(() -> call.read(with(call, field, value)))
        .as("%s with %s", field, value)
        .isInstanceOfSatisfying(
            InvalidField.class, error -> assertThat(error.path()).startsWith(field));
  }

  @ParameterizedTest
  @EnumSource(Call.class)
  void whatTheReaderAsksForIsOnThePage(Call call) throws Exception {
    Watched body = new Watched((ObjectNode) JSON.readTree(call.body));
    call.read(body);
    Set<String> known = new HashSet<>();
    for (Row row : rows(call)) {
      if (!row.kind().equals("ignored")) {
        known.add(row.field());
      }
    }
    assertThat(body.asked).isEqualTo(known);
  }
}
