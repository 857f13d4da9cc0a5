package io.epidote.router.openai;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonLocation;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.util.JsonRecyclerPools;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.epidote.engine.error.EpidoteException;
import io.epidote.router.request.CacheSalt;
import io.epidote.router.request.GenerationRequest;
import io.epidote.router.request.InvalidField;
import io.epidote.router.request.MediaInput;
import io.epidote.router.request.PromptInput;
import io.epidote.router.request.Sampling;
import io.epidote.router.request.Slo;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Reads the body of {@code POST /v1/chat/completions}. Fields that Epidote does not know are
 * ignored, because OpenAI's clients send many; fields that it knows must have the right type and
 * range. Thread-safe.
 */
final class ChatRequestReader {
  private static final int MAX_CHOICES = 8;

  private final ObjectReader json;

  /**
   * @param maxBody bytes; no string in a body can be longer
   */
  ChatRequestReader(long maxBody) {
    JsonFactory factory =
        JsonFactory.builder()
            // The usual pool is one for each thread, which is new for every request.
            .recyclerPool(JsonRecyclerPools.sharedLockFreePool())
            .streamReadConstraints(
                StreamReadConstraints.builder()
                    .maxStringLength((int) Math.min(Integer.MAX_VALUE - 8, maxBody))
                    .maxNestingDepth(100)
                    .build())
            .build();
    json =
        JsonMapper.builder(factory)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .build()
            .reader();
  }

  /**
   * @param body closed by this method
   * @param id of the request
   * @param salt whose cached prompts it may find
   * @param slo how fast it should be answered
   * @param tenant for whom it is
   * @throws InvalidField naming the field that must change
   * @throws EpidoteException.InvalidRequest when the body is not JSON
   */
  ChatCall read(InputStream body, String id, CacheSalt salt, Slo slo, String tenant) {
    Fields fields = Fields.of(parse(body), "");
    PromptInput prompt = new PromptInput.Chat(turns(fields));
    Fields streamOptions = fields.object("stream_options");
    Long choices = fields.whole("n");
    if (choices != null && (choices < 1 || choices > MAX_CHOICES)) {
      throw new InvalidField(
          fields.path("n"),
          "is %d; expected a whole number from 1 to %d".formatted(choices, MAX_CHOICES));
    }
    boolean logprobs = fields.flag("logprobs");
    Sampling sampling =
        Sampling.of(
            new Sampling.Input(
                "",
                maxTokens(fields),
                fields.real("temperature"),
                fields.real("top_p"),
                fields.whole("top_k"),
                fields.whole("seed"),
                stops(fields),
                fields.flag("ignore_eos"),
                logprobs,
                fields.whole("top_logprobs")));
    return new ChatCall(
        new GenerationRequest(
            id,
            Optional.ofNullable(fields.text("model")).orElse(""),
            prompt,
            sampling,
            choices == null ? 1 : choices.intValue(),
            salt,
            slo,
            tenant,
            priority(fields)),
        fields.flag("stream"),
        streamOptions != null && streamOptions.flag("include_usage"),
        logprobs,
        fields.flag("timeline"));
  }

  /** Less is earlier, as vLLM's field of that name. */
  private static int priority(Fields fields) {
    Long priority = fields.whole("priority");
    if (priority != null && priority != priority.intValue()) {
      throw new InvalidField(
          fields.path("priority"),
          "is %d; expected a whole number from %d to %d, less for earlier"
              .formatted(priority, Integer.MIN_VALUE, Integer.MAX_VALUE));
    }
    return priority == null ? 0 : priority.intValue();
  }

  private JsonNode parse(InputStream body) {
    try (body) {
      JsonNode root = json.readTree(body);
      if (root.isMissingNode()) {
        throw new EpidoteException.InvalidRequest(
            "The body is empty; expected a JSON object with model and messages.");
      }
      return root;
    } catch (JsonProcessingException e) {
      JsonLocation at = e.getLocation();
      throw new EpidoteException.InvalidRequest(
          "The body is not JSON: line %d, column %d: %s. Expected one JSON object."
              .formatted(
                  at == null ? 0 : at.getLineNr(),
                  at == null ? 0 : at.getColumnNr(),
                  firstLine(e.getOriginalMessage())),
          e);
    } catch (IOException e) {
      throw new EpidoteException.InvalidRequest(
          "The body is not JSON: %s. Expected one JSON object in UTF-8.".formatted(e.getMessage()),
          e);
    }
  }

  private static String firstLine(@Nullable String message) {
    return message == null ? "unreadable" : message.lines().findFirst().orElse("unreadable");
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

  private static List<String> stops(Fields fields) {
    JsonNode stop = fields.get("stop");
    if (stop == null) {
      return List.of();
    }
    if (stop.isTextual()) {
      return List.of(stop.textValue());
    }
    List<String> texts = new ArrayList<>();
    for (JsonNode text : fields.list("stop", "a string or a list of strings")) {
      texts.add(Fields.text(text, "%s[%d]".formatted(fields.path("stop"), texts.size())));
    }
    return texts;
  }

  private static List<PromptInput.Turn> turns(Fields fields) {
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

  private static PromptInput.Turn turn(Fields message) {
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

  private static PromptInput.Content part(Fields part) {
    String expected = "text, image_url or video_url";
    JsonNode type = part.require("type", expected);
    return switch (Fields.text(type, part.path("type"))) {
      case "text" ->
          new PromptInput.Text(Fields.text(part.require("text", "a string"), part.path("text")));
      case "image_url" -> {
        Fields image =
            Fields.of(part.require("image_url", "an object with url"), part.path("image_url"));
        String url = Fields.text(image.require("url", "a data: URI"), image.path("url"));
        yield new PromptInput.Media(DataUri.picture(url, image.path("url")));
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
      default -> throw Fields.wrong(part.path("type"), type, expected);
    };
  }
}
