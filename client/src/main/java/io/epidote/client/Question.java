package io.epidote.client;

import com.google.protobuf.ByteString;
import io.epidote.proto.v1.Chat;
import io.epidote.proto.v1.ChatMessage;
import io.epidote.proto.v1.ContentPart;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.Media;
import io.epidote.proto.v1.SamplingParams;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.function.Consumer;

/**
 * What is asked; each method gives a question that has one thing more. Immutable.
 *
 * <pre>{@code
 * Question.of("describe the picture.").picture(Path.of("small.png")).temperature(0).maxTokens(64)
 * }</pre>
 */
public final class Question {
  private static final Duration PATIENCE = Duration.ofMinutes(5);
  private static final String SYSTEM = "system";
  private static final String USER = "user";

  private final GenerateRequest request;
  private final Duration timeout;

  private Question(GenerateRequest request, Duration timeout) {
    this.request = request;
    this.timeout = timeout;
  }

  /** A question of a user; pictures that are added stand before its text. */
  public static Question of(String text) {
    ChatMessage.Builder message =
        ChatMessage.newBuilder().setRole(USER).addContent(ContentPart.newBuilder().setText(text));
    return new Question(
        GenerateRequest.newBuilder().setChat(Chat.newBuilder().addMessages(message)).build(),
        PATIENCE);
  }

  /** A question as the contract has it, with whatever this class has no method for. */
  public static Question of(GenerateRequest request) {
    return new Question(request, PATIENCE);
  }

  /** With a picture: the bytes of a PNG, JPEG, GIF, BMP or WebP file. */
  public Question picture(byte[] file) {
    return with(builder -> {
      Chat.Builder chat = builder.getChatBuilder();
      ChatMessage.Builder last = chat.getMessagesBuilder(chat.getMessagesCount() - 1);
      // Behind the pictures that are there already, before the text.
      last.addContent(
          last.getContentCount() - 1,
          ContentPart.newBuilder().setMedia(Media.newBuilder().setData(ByteString.copyFrom(file))));
    });
  }

  /**
   * With a picture from a file.
   *
   * @throws IOException when it cannot be read
   */
  public Question picture(Path file) throws IOException {
    return picture(Files.readAllBytes(file));
  }

  /** After instructions for the whole conversation. */
  public Question system(String instructions) {
    return with(builder ->
        builder
            .getChatBuilder()
            .addMessages(
                0,
                ChatMessage.newBuilder()
                    .setRole(SYSTEM)
                    .addContent(ContentPart.newBuilder().setText(instructions))));
  }

  /** Of the model by this name, or an adapter of it: {@code scenes:french}. */
  public Question model(String name) {
    return with(builder -> builder.setModel(name));
  }

  /** Under a name of one's own, for {@link EpidoteClient#abort} and logs. */
  public Question id(String id) {
    return with(builder -> builder.setRequestId(id));
  }

  /** With an answer of at most so many tokens. */
  public Question maxTokens(int tokens) {
    return sampling(sampling -> sampling.setMaxTokens(tokens));
  }

  /** Drawn at a temperature, 0 to 2; 0 takes the likeliest token each time. */
  public Question temperature(double temperature) {
    return sampling(sampling -> sampling.setTemperature((float) temperature));
  }

  /** Drawn with a seed: the same question gives the same answer. */
  public Question seed(long seed) {
    return sampling(sampling -> sampling.setSeed(seed));
  }

  /** With an answer that ends before a text. */
  public Question stop(String text) {
    return sampling(sampling -> sampling.addStop(text));
  }

  /** With log-probabilities of the answer's tokens, and of so many alternatives, 0 to 20. */
  public Question logprobs(int alternatives) {
    return sampling(sampling -> sampling.setLogprobs(true).setTopLogprobs(alternatives));
  }

  /** Given up after so long; 5 minutes unless said otherwise. */
  public Question timeout(Duration duration) {
    return new Question(request, duration);
  }

  GenerateRequest request() {
    return request;
  }

  Duration timeout() {
    return timeout;
  }

  private Question sampling(Consumer<SamplingParams.Builder> change) {
    return with(builder -> change.accept(builder.getSamplingBuilder()));
  }

  private Question with(Consumer<GenerateRequest.Builder> change) {
    GenerateRequest.Builder builder = request.toBuilder();
    change.accept(builder);
    return new Question(builder.build(), timeout);
  }
}
