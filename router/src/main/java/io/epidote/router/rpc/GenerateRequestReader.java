package io.epidote.router.rpc;

import io.epidote.proto.v1.Chat;
import io.epidote.proto.v1.ChatMessage;
import io.epidote.proto.v1.ContentPart;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.Media;
import io.epidote.proto.v1.SamplingParams;
import io.epidote.router.request.CacheSalt;
import io.epidote.router.request.GenerationRequest;
import io.epidote.router.request.InvalidField;
import io.epidote.router.request.MediaInput;
import io.epidote.router.request.PromptInput;
import io.epidote.router.request.RequestFlow;
import io.epidote.router.request.Sampling;
import io.epidote.router.request.Slo;
import io.epidote.router.request.Tenant;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/** From the public message to the validated request. */
final class GenerateRequestReader {
  private static final Pattern ID = Pattern.compile("[A-Za-z0-9._:-]{0,128}");

  private GenerateRequestReader() {}

  /**
   * @throws InvalidField naming the field that must change
   */
  static GenerationRequest read(GenerateRequest request) {
    String id = request.getRequestId();
    if (!ID.matcher(id).matches()) {
      throw new InvalidField(
          "request_id",
          "expected at most 128 letters, digits, dots, colons, dashes or underscores");
    }
    PromptInput prompt =
        switch (request.getPromptCase()) {
          case CHAT -> chat(request.getChat());
          case TEXT ->
              new PromptInput.Plain(
                  request.getText().getText(), media(request.getText().getMediaList()));
          case PROMPT_NOT_SET ->
              throw new InvalidField("prompt", "is missing; expected chat or text");
        };
    return new GenerationRequest(
        id.isEmpty() ? RequestFlow.newId() : id,
        request.getModel(),
        prompt,
        sampling(request.getSampling()),
        choices(request.getN()),
        CacheSalt.of("cache_salt", request.getCacheSalt()),
        slo(request),
        Tenant.of("tenant", request.getTenant()),
        request.getPriority());
  }

  private static int choices(int n) {
    if (n < 0 || n > GenerationRequest.MAX_CHOICES) {
      throw new InvalidField(
          "n",
          "is %d; expected at most %d"
              .formatted(Integer.toUnsignedLong(n), GenerationRequest.MAX_CHOICES));
    }
    return Math.max(1, n);
  }

  private static Slo slo(GenerateRequest request) {
    return new Slo(
        request.hasSloTtftMs()
            ? Slo.target("slo_ttft_ms", request.getSloTtftMs())
            : OptionalDouble.empty(),
        request.hasSloTpotMs()
            ? Slo.target("slo_tpot_ms", request.getSloTpotMs())
            : OptionalDouble.empty(),
        request.getLateOk());
  }

  private static PromptInput chat(Chat chat) {
    if (chat.getMessagesCount() == 0) {
      throw new InvalidField("chat.messages", "is empty; expected at least one message");
    }
    List<PromptInput.Turn> turns = new ArrayList<>();
    for (ChatMessage message : chat.getMessagesList()) {
      String path = "chat.messages[%d]".formatted(turns.size());
      if (!List.of("user", "assistant", "system").contains(message.getRole())) {
        throw new InvalidField(
            path + ".role",
            "is \"%s\"; expected user, assistant or system".formatted(message.getRole()));
      }
      turns.add(new PromptInput.Turn(message.getRole(), content(message, path)));
    }
    return new PromptInput.Chat(turns);
  }

  private static List<PromptInput.Content> content(ChatMessage message, String path) {
    List<PromptInput.Content> content = new ArrayList<>();
    for (ContentPart part : message.getContentList()) {
      content.add(
          switch (part.getPartCase()) {
            case TEXT -> new PromptInput.Text(part.getText());
            case MEDIA ->
                new PromptInput.Media(
                    media(part.getMedia(), "%s.content[%d].media".formatted(path, content.size())));
            case PART_NOT_SET ->
                throw new InvalidField(
                    "%s.content[%d]".formatted(path, content.size()),
                    "is empty; expected text or media");
          });
    }
    return content;
  }

  private static List<MediaInput> media(List<Media> items) {
    List<MediaInput> media = new ArrayList<>();
    for (Media item : items) {
      media.add(media(item, "text.media[%d]".formatted(media.size())));
    }
    return media;
  }

  private static MediaInput media(Media media, String path) {
    String type = media.getMimeType();
    boolean frames = type.equals("video/jpeg");
    if (media.getFramesCount() > 0 && !frames) {
      throw new InvalidField(
          path + ".frames",
          "is for mime_type video/jpeg alone; mime_type is \"%s\"".formatted(type));
    }
    if (!type.startsWith("video/")) {
      return new MediaInput.Picture(media.getData());
    }
    if (!frames && !type.equals("video/gif")) {
      throw new InvalidField(
          path + ".mime_type",
          "is \"%s\"; %s (video/jpeg with frames, or video/gif with data)"
              .formatted(type, MediaInput.Video.EXPECTED));
    }
    return MediaInput.Video.of(
        path,
        media.getFramesCount() > 0 ? media.getFramesList() : List.of(media.getData()),
        media.hasFramesPerSecond()
            ? media.getFramesPerSecond()
            : MediaInput.Video.DEFAULT_FRAMES_PER_SECOND);
  }

  private static Sampling sampling(SamplingParams params) {
    return Sampling.of(
        new Sampling.Input(
            "sampling.",
            params.hasMaxTokens() ? Integer.toUnsignedLong(params.getMaxTokens()) : null,
            params.hasTemperature() ? (double) params.getTemperature() : null,
            params.hasTopP() ? (double) params.getTopP() : null,
            params.hasTopK() ? Integer.toUnsignedLong(params.getTopK()) : null,
            params.hasSeed() ? params.getSeed() : null,
            params.getStopList(),
            params.getStopTokenIdsList().stream().map(Integer::toUnsignedLong).toList(),
            params.getIgnoreEos(),
            params.getLogprobs(),
            Integer.toUnsignedLong(params.getTopLogprobs()),
            (double) params.getFrequencyPenalty(),
            (double) params.getPresencePenalty(),
            params.hasRepetitionPenalty() ? (double) params.getRepetitionPenalty() : null,
            Integer.toUnsignedLong(params.getMinTokens()),
            (double) params.getMinP(),
            params.getLogitBiasMap().entrySet().stream()
                .collect(
                    Collectors.toMap(
                        bias -> Integer.toUnsignedLong(bias.getKey()),
                        bias -> (double) bias.getValue())),
            params.getAllowedTokenIdsList().stream().map(Integer::toUnsignedLong).toList()));
  }
}
