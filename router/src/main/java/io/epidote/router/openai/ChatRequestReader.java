package io.epidote.router.openai;

import com.fasterxml.jackson.databind.JsonNode;
import io.epidote.router.media.MediaFetch;
import io.epidote.router.media.MediaUrls;
import io.epidote.router.request.InvalidField;
import io.epidote.router.request.MediaInput;
import io.epidote.router.request.PromptInput;
import io.epidote.router.request.Sampling;
import io.epidote.router.request.ServedModel;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Reads the body of {@code POST /v1/chat/completions}. Fields that Epidote knows must have the
 * right type and range; what it cannot honour is refused ({@link Unsupported}); all others are
 * ignored, because OpenAI's clients send many. Thread-safe.
 */
final class ChatRequestReader {
  private final ServedModel model;
  private final MediaFetch fetch;

  /** Fetches nothing. */
  ChatRequestReader(ServedModel model) {
    this(model, new MediaFetch(MediaUrls.NONE));
  }

  /**
   * @param fetch of pictures that are named by web addresses
   */
  ChatRequestReader(ServedModel model, MediaFetch fetch) {
    this.model = model;
    this.fetch = fetch;
  }

  /**
   * @throws InvalidField naming the field that must change
   */
  ApiCall read(JsonNode body, CallHead head) {
    Fields fields = Fields.of(body, "");
    PromptInput prompt = new PromptInput.Chat(turns(fields));
    CommonFields common = new CommonFields(fields);
    boolean logprobs = fields.flag("logprobs");
    Sampling sampling = common.sampling(maxTokens(fields), logprobs, fields.whole("top_logprobs"));
    Unsupported.refuseInChat(fields);
    return new ApiCall(
        head.id(),
        List.of(common.request(head, head.id(), prompt, sampling)),
        common.stream,
        common.includeUsage,
        logprobs,
        common.timeline,
        false);
  }

  /** The messages of a chat. */
  List<PromptInput.Turn> turns(Fields fields) {
    List<JsonNode> messages = fields.list("messages", "a list of messages");
    if (messages.isEmpty()) {
      throw new InvalidField(
          fields.path("messages"), "is empty; expected at least one message of the role user");
    }
    List<PromptInput.Turn> turns = new ArrayList<>();
    for (JsonNode message : messages) {
      turns.add(turn(Fields.of(message, "messages[%d]".formatted(turns.size()))));
    }
    return turns;
  }

  private static @Nullable Long maxTokens(Fields fields) {
    // The older name is still what most clients send.
    for (String name : List.of("max_completion_tokens", "max_tokens")) {
      Long value = fields.whole(name);
      if (value != null && (value < 1 || value > Integer.MAX_VALUE)) {
        throw new InvalidField(
            fields.path(name),
            "is %d; expected a whole number from 1 to %d".formatted(value, Integer.MAX_VALUE));
      }
      if (value != null) {
        return value;
      }
    }
    return null;
  }

  private PromptInput.Turn turn(Fields message) {
    String role =
        Fields.text(message.require("role", "user, assistant or system"), message.path("role"));
    String known =
        switch (role) {
          case "user", "assistant", "system" -> role;
          // OpenAI's newer name for the same.
          case "developer" -> "system";
          default ->
              throw Fields.wrong(
                  message.path("role"), message.require("role", ""), "user, assistant or system");
        };
    JsonNode content = message.require("content", "a string or a list of parts");
    if (content.isTextual()) {
      return new PromptInput.Turn(known, List.of(new PromptInput.Text(content.textValue())));
    }
    List<PromptInput.Content> parts = new ArrayList<>();
    for (JsonNode part : message.list("content", "a string or a list of parts")) {
      parts.add(part(Fields.of(part, "%s[%d]".formatted(message.path("content"), parts.size()))));
    }
    return new PromptInput.Turn(known, parts);
  }

  private PromptInput.Content part(Fields part) {
    String expected = "text, image_url or video_url";
    JsonNode type = part.require("type", expected);
    return switch (Fields.text(type, part.path("type"))) {
      case "text" ->
          new PromptInput.Text(Fields.text(part.require("text", "a string"), part.path("text")));
      case "image_url" -> {
        Fields image =
            Fields.of(part.require("image_url", "an object with url"), part.path("image_url"));
        String url = Fields.text(image.require("url", "a data: URI"), image.path("url"));
        yield new PromptInput.Media(picture(url, image.path("url")));
      }
      case "video_url" -> {
        Fields video =
            Fields.of(part.require("video_url", "an object with url"), part.path("video_url"));
        String url = Fields.text(video.require("url", "a data: URI"), video.path("url"));
        Double rate = video.real("fps");
        yield new PromptInput.Media(
            DataUri.video(
                url,
                video.path("url"),
                rate == null ? MediaInput.Video.DEFAULT_FRAMES_PER_SECOND : rate));
      }
      case "input_audio", "audio_url" ->
          throw new InvalidField(
              part.path("type"),
              "is %s, but the model %s hears nothing: it takes %s; send a transcript as text"
                  .formatted(type.textValue(), model.name(), inputs()));
      default -> throw Fields.wrong(part.path("type"), type, expected);
    };
  }

  private String inputs() {
    List<String> names = model.inputs().stream().map(ServedModel.Input::plural).toList();
    return names.size() == 1
        ? names.getFirst() + " only"
        : String.join(", ", names.subList(0, names.size() - 1)) + " and " + names.getLast();
  }

  private MediaInput picture(String url, String path) {
    return MediaFetch.isWeb(url)
        ? new MediaInput.Picture(fetch.get(url, path))
        : DataUri.picture(url, path);
  }
}
