package io.epidote.cli;

import com.google.protobuf.ByteString;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.planner.sim.Request;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.router.FolderModel;
import io.epidote.router.request.MediaInput;
import io.epidote.router.request.PromptInput;
import io.epidote.router.request.ServedModel;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** Kinds of requests, each as likely as the others. */
record PlanWorkload(List<Kind> kinds) {
  /** What the paper looks for goodput with: six large pictures, a short question and answer. */
  static final String PAPER = "paper";

  private static final String PAPER_KIND = "pictures=6,size=4032x3024,words=22,answer=10";

  /**
   * A request.
   *
   * @param words of the question, a token each for an emulated model
   * @param answer tokens
   */
  record Kind(int pictures, int width, int height, int words, int answer) {
    GenerateRequest request(HeaderPictures from) {
      return from.request(pictures, width, height, words, answer);
    }

    String word() {
      return "pictures=%d,size=%dx%d,words=%d,answer=%d"
          .formatted(pictures, width, height, words, answer);
    }
  }

  PlanWorkload {
    kinds = List.copyOf(kinds);
  }

  /**
   * Reads {@code paper}, or kinds such as {@code pictures=4,size=4032x3024,words=22,answer=10} with
   * a semicolon between them.
   */
  static PlanWorkload parse(String text) {
    String kinds = text.equals(PAPER) ? PAPER_KIND : text;
    return new PlanWorkload(Arrays.stream(kinds.split(";", -1)).map(PlanWorkload::kind).toList());
  }

  private static Kind kind(String text) {
    Map<String, String> values =
        new LinkedHashMap<>(
            Map.of("pictures", "0", "size", "4032x3024", "words", "22", "answer", "10"));
    for (String part : text.split(",", -1)) {
      String[] pair = part.strip().split("=", -1);
      if (pair.length != 2 || values.replace(pair[0], pair[1]) == null) {
        throw wrong(text);
      }
    }
    try {
      String[] size = values.getOrDefault("size", "").split("x", -1);
      Kind kind =
          new Kind(
              Integer.parseInt(values.getOrDefault("pictures", "")),
              Integer.parseInt(size[0]),
              Integer.parseInt(size[size.length - 1]),
              Integer.parseInt(values.getOrDefault("words", "")),
              Integer.parseInt(values.getOrDefault("answer", "")));
      if (size.length != 2
          || kind.pictures() < 0
          || Math.min(kind.width(), kind.height()) < 1
          || Math.min(kind.words(), kind.answer()) < 1) {
        throw wrong(text);
      }
      return kind;
    } catch (NumberFormatException e) {
      throw wrong(text);
    }
  }

  private static InvalidRequest wrong(String text) {
    return new InvalidRequest(
        "'%s' is no kind of requests; expected paper, or for example pictures=4,size=4032x3024,words=22,answer=10, kinds with a semicolon between them"
            .formatted(text));
  }

  /** What {@link #parse} reads. */
  String word() {
    return kinds.stream().map(Kind::word).collect(Collectors.joining(";"));
  }

  /** As the model's own template, tokenizer and preprocessing make them. */
  List<Request> simulated(FolderModel model) {
    HeaderPictures pictures = new HeaderPictures(1);
    return kinds.stream().map(kind -> simulated(kind, model, pictures)).toList();
  }

  private static Request simulated(Kind kind, FolderModel model, HeaderPictures pictures) {
    List<PromptInput.Content> content = new ArrayList<>();
    List<ServedModel.Media> media = new ArrayList<>();
    for (int picture = 0; picture < kind.pictures(); picture++) {
      MediaInput input =
          new MediaInput.Picture(
              ByteString.copyFrom(pictures.picture(kind.width(), kind.height())));
      content.add(new PromptInput.Media(input));
      media.add(model.plan(input));
    }
    content.add(new PromptInput.Text(pictures.text(kind.words())));
    ServedModel.Prompt prompt =
        model.prompt(new PromptInput.Chat(List.of(new PromptInput.Turn("user", content))), media);
    return new Request(
        media.stream().map(ServedModel.Media::tiles).toList(),
        prompt.spans().stream()
            .map(span ->
                new Request.Span(
                    span.getItem(), span.getTile(), span.getPosition(), span.getTokens()))
            .toList(),
        prompt.tokenIds().length,
        kind.answer());
  }

  /** The kind that a simulated request was made of. */
  Kind kindOf(List<Request> simulated, Request request) {
    return kinds.get(
        IntStream.range(0, simulated.size())
            .filter(i -> simulated.get(i) == request)
            .findFirst()
            .orElseThrow());
  }
}
