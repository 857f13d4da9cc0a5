package io.epidote.router;

import com.google.protobuf.ByteString;
import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.ModelConfig;
import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.image.ImageInfo;
import io.epidote.engine.image.ImageLimits;
import io.epidote.engine.image.ImageProcessor;
import io.epidote.engine.image.MediaPlan;
import io.epidote.engine.image.VideoFile;
import io.epidote.engine.image.VideoProcessor;
import io.epidote.engine.text.ChatTemplate;
import io.epidote.engine.text.ChatTurn;
import io.epidote.engine.text.Detokenizer;
import io.epidote.engine.text.Part;
import io.epidote.engine.text.PromptBuilder;
import io.epidote.engine.text.Tokenizer;
import io.epidote.proto.stage.v1.MediaSpan;
import io.epidote.router.request.MediaInput;
import io.epidote.router.request.PromptInput;
import io.epidote.router.request.ServedModel;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * A model folder without its weights: config, tokenizer, chat template and preprocessor. The
 * weights are hashed for the fingerprint, once for all starts, and let go.
 */
public final class FolderModel implements ServedModel, AutoCloseable {
  private final String name;
  private final String fingerprint;
  private final ModelConfig config;
  private final Tokenizer tokenizer;
  private final ChatTemplate template;
  private final PromptBuilder prompts;
  private final Optional<ImageProcessor> images;
  private final Optional<VideoProcessor> videos;

  private FolderModel(Path folder, String name, String fingerprint, ModelConfig config) {
    this.name = name;
    this.fingerprint = fingerprint;
    this.config = config;
    this.template = ChatTemplate.open(folder);
    this.images =
        config.vision().map(vision -> ImageProcessor.open(folder, config, ImageLimits.defaults()));
    this.videos = VideoProcessor.open(folder, config, ImageLimits.defaults());
    this.tokenizer = Tokenizer.open(folder);
    this.prompts = PromptBuilder.open(folder, config, tokenizer);
  }

  /**
   * Reads the folder.
   *
   * @param cache folder that remembers digests of weights
   * @throws EpidoteException.BadCheckpoint naming the file that is missing or wrong
   */
  public static FolderModel open(Path folder, Path cache) {
    try (Checkpoint checkpoint = Checkpoint.open(folder, cache)) {
      return new FolderModel(
          checkpoint.folder(), checkpoint.name(), checkpoint.fingerprint(), checkpoint.config());
    }
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public String fingerprint() {
    return fingerprint;
  }

  @Override
  public int contextTokens() {
    return config.text().contextTokens();
  }

  @Override
  public int mediaTokensPerTile() {
    return config.tileTokens();
  }

  @Override
  public int vocabulary() {
    return config.text().vocabulary();
  }

  @Override
  public List<Input> inputs() {
    List<Input> inputs = new ArrayList<>(List.of(Input.TEXT));
    images.ifPresent(_ -> inputs.add(Input.IMAGE));
    videos.ifPresent(_ -> inputs.add(Input.VIDEO));
    return inputs;
  }

  @Override
  public boolean isEnd(int tokenId) {
    return config.eosTokenIds().contains(tokenId);
  }

  /** An item's tiles. */
  private record Planned(MediaPlan plan) implements Media {
    @Override
    public int tiles() {
      return plan.tiles();
    }
  }

  @Override
  public Media plan(MediaInput input) {
    return new Planned(
        switch (input) {
          case MediaInput.Picture picture -> plan(picture);
          case MediaInput.Video video -> plan(video);
        });
  }

  private MediaPlan plan(MediaInput.Picture picture) {
    ImageProcessor processor =
        images.orElseThrow(() ->
            new EpidoteException.InvalidRequest(
                "the model %s takes text only; leave the pictures out or choose a model with a vision tower"
                    .formatted(name)));
    ImageInfo info = processor.probe(picture.data().asReadOnlyByteBuffer());
    return processor.plan(info.width(), info.height());
  }

  private MediaPlan plan(MediaInput.Video video) {
    VideoProcessor processor =
        videos.orElseThrow(() ->
            new EpidoteException.InvalidRequest(
                "the model %s takes no videos (its preprocessor_config.json has no video_sampling); %s"
                    .formatted(
                        name,
                        images.isPresent()
                            ? "send pictures of it, or choose a model that takes videos"
                            : "leave them out or choose a model that takes videos")));
    return processor.plan(
        new VideoFile(
            video.files().stream().map(ByteString::asReadOnlyByteBuffer).toList(),
            video.framesPerSecond()));
  }

  @Override
  public Prompt prompt(PromptInput input, List<Media> media) {
    if (input instanceof PromptInput.Tokens tokens) {
      return prompt(tokens);
    }
    List<MediaPlan> plans = media.stream().map(item -> ((Planned) item).plan()).toList();
    io.epidote.engine.text.Prompt prompt = prompts.build(text(input), plans);
    return new Prompt(
        prompt.tokenIds(),
        prompt.spans().stream()
            .map(span ->
                MediaSpan.newBuilder()
                    .setItem(span.item())
                    .setTile(span.tile())
                    .setPosition(span.position())
                    .setTokens(span.tokens())
                    .build())
            .toList(),
        prompt.mediaTokens());
  }

  private Prompt prompt(PromptInput.Tokens tokens) {
    if (config.vision().isPresent() && tokens.ids().contains(config.imageTokenId())) {
      throw new EpidoteException.InvalidRequest(
          "the prompt has the token %d, which stands for a picture; send pictures in a chat, or take it out"
              .formatted(config.imageTokenId()));
    }
    return new Prompt(tokens.ids().stream().mapToInt(Integer::intValue).toArray(), List.of(), 0);
  }

  private String text(PromptInput input) {
    return switch (input) {
      case PromptInput.Tokens _ -> throw new IllegalArgumentException("tokens need no template");
      case PromptInput.Plain plain -> plain.text();
      case PromptInput.Chat chat ->
          template.render(chat.turns().stream().map(FolderModel::turn).toList(), true);
    };
  }

  private static ChatTurn turn(PromptInput.Turn turn) {
    return new ChatTurn(
        turn.role(),
        turn.content().stream()
            .map(content ->
                switch (content) {
                  case PromptInput.Text text -> (Part) new Part.Text(text.text());
                  case PromptInput.Media(MediaInput.Picture _) -> new Part.Image();
                  case PromptInput.Media(MediaInput.Video _) -> new Part.Video();
                })
            .toList());
  }

  @Override
  public TokenText newText() {
    Detokenizer detokenizer = tokenizer.newDetokenizer();
    return new TokenText() {
      @Override
      public String append(int tokenId) {
        return detokenizer.append(tokenId);
      }

      @Override
      public String flush() {
        return detokenizer.flush();
      }
    };
  }

  @Override
  public String text(int[] tokenIds) {
    return tokenizer.decodeAll(tokenIds);
  }

  @Override
  public String tokenText(int tokenId) {
    return tokenizer.tokenText(tokenId);
  }

  @Override
  public void close() {
    tokenizer.close();
  }
}
