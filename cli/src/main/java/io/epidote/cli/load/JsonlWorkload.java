package io.epidote.cli.load;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.epidote.cli.load.PictureFiles.Size;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;

/**
 * Requests of one's own, one JSON object a line: {@code prompt} (text) or {@code input_tokens}
 * (random text of that length), {@code pictures} (paths beside the file, or sizes such as 1280x720
 * of random ones), {@code output_tokens}, {@code at_s} (arrival in a replayed trace) and {@code
 * phase}. A line with {@code messages} or a {@code body} is sent as it is. Lines are used in order,
 * again from the start when more are asked for.
 */
final class JsonlWorkload implements Workload {
  private static final ObjectMapper MAPPER = new ObjectMapper();
  private static final List<String> KNOWN =
      List.of("prompt", "input_tokens", "pictures", "output_tokens", "at_s", "phase", "body");

  private final Path file;
  private final List<JsonNode> lines;
  private final Workloads.Maker maker;

  private JsonlWorkload(Path file, List<JsonNode> lines, Workloads.Maker maker) {
    this.file = file;
    this.lines = lines;
    this.maker = maker;
  }

  /**
   * Reads and checks the whole file.
   *
   * @throws InvalidRequest naming the line that is wrong
   */
  static JsonlWorkload read(Path file, WorkloadOptions options) {
    List<JsonNode> lines = new ArrayList<>();
    try {
      int number = 0;
      for (String line : Files.readAllLines(file)) {
        number++;
        if (!line.isBlank()) {
          lines.add(parse(file, number, line));
        }
      }
    } catch (IOException e) {
      throw new InvalidRequest("%s cannot be read: %s".formatted(file, e.getMessage()), e);
    }
    if (lines.isEmpty()) {
      throw new InvalidRequest(
          "%s has no requests; expected one JSON object a line".formatted(file));
    }
    return new JsonlWorkload(file, lines, new Workloads.Maker(options));
  }

  private static JsonNode parse(Path file, int number, String line) {
    JsonNode node;
    try {
      node = MAPPER.readTree(line);
    } catch (IOException e) {
      throw wrong(file, number, "is no JSON: " + e.getMessage());
    }
    if (!node.isObject()) {
      throw wrong(file, number, "is no JSON object");
    }
    if (node.has("messages")) {
      return MAPPER.createObjectNode().set("body", node);
    }
    node.fieldNames()
        .forEachRemaining(name -> {
          if (!KNOWN.contains(name)) {
            throw wrong(
                file,
                number,
                "has the unknown field \"%s\"; known are %s, or messages for a whole chat"
                    .formatted(name, String.join(", ", KNOWN)));
          }
        });
    if (!node.has("prompt") && !node.has("input_tokens") && !node.has("body")) {
      throw wrong(file, number, "has neither prompt, input_tokens, body nor messages");
    }
    return node;
  }

  private static InvalidRequest wrong(Path file, int line, String what) {
    return new InvalidRequest("%s line %d %s".formatted(file, line, what));
  }

  @Override
  public String name() {
    return String.valueOf(file.getFileName());
  }

  @Override
  public int size() {
    return lines.size();
  }

  @Override
  public LoadRequest next(int index, int count) {
    JsonNode line = lines.get(index % lines.size());
    OptionalDouble at =
        line.has("at_s") ? OptionalDouble.of(line.path("at_s").asDouble()) : OptionalDouble.empty();
    String phase = line.path("phase").asText("");
    int output = line.path("output_tokens").asInt(0);
    if (line.has("body")) {
      return new LoadRequest(
          List.of(), "", new int[0], output, phase, at, line.path("body").toString());
    }
    List<byte[]> pictures = new ArrayList<>();
    line.path("pictures").forEach(picture -> pictures.add(picture(picture.asText())));
    if (line.has("prompt")) {
      return new LoadRequest(
          pictures, line.path("prompt").asText(), new int[0], output, phase, at, null);
    }
    LoadRequest made = maker.request(pictures, line.path("input_tokens").asInt(), output, phase);
    return new LoadRequest(pictures, made.text(), made.tokenIds(), output, phase, at, null);
  }

  private byte[] picture(String named) {
    if (named.matches("\\d+[x×]\\d+")) {
      return maker.picture(List.of(Size.parse(named)));
    }
    Path path = file.resolveSibling(named);
    try {
      return Files.readAllBytes(path);
    } catch (IOException e) {
      throw new InvalidRequest(
          "The picture %s of %s cannot be read: %s".formatted(path, file, e.getMessage()), e);
    }
  }
}
