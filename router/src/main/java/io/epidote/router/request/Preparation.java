package io.epidote.router.request;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.memory.KeyChain;
import io.epidote.engine.model.DecoderShape;
import io.epidote.engine.sampling.TokenRules;
import io.epidote.proto.stage.v1.MediaItem;
import io.epidote.proto.stage.v1.MediaSpan;
import io.epidote.router.cluster.PromptPrefix;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.List;

/**
 * From a validated request to what the stages are told: media are hashed and their tiles planned,
 * the chat is rendered and tokenised, and the length is checked. Thread-safe; not for event loops.
 */
final class Preparation {
  /** Tokens of an answer that may be of any length. */
  private static final int USUAL_ANSWER = 256;

  private static final int TOKEN_CHARACTERS = 4;

  private final ServedModel model;
  private final int maxMediaItems;

  Preparation(ServedModel model, int maxMediaItems) {
    this.model = model;
    this.maxMediaItems = maxMediaItems;
  }

  /** Fails at once for what can be told without reading the media. */
  void check(GenerationRequest request) {
    if (!request.isFor(model.name())) {
      throw new EpidoteException.NotFound(
          "The model \"%s\" is not served here; this router serves \"%s\"."
              .formatted(shorten(request.model()), model.name()));
    }
    int asked = request.sampling().maxTokens();
    if (asked != Sampling.AS_MANY_AS_FIT && asked > model.contextTokens()) {
      throw new EpidoteException.InvalidRequest(
          "max_tokens is %d, but the context of %s holds %d tokens, prompt and answer together. Ask for fewer, or leave max_tokens out to get what the context leaves."
              .formatted(asked, model.name(), model.contextTokens()));
    }
    TokenRules rules = request.sampling().rules();
    rules.bias().keySet().forEach(token -> checkToken("logit_bias", token));
    rules.allowed().forEach(token -> checkToken("allowed_token_ids", token));
    int count = request.prompt().media().size();
    if (count > maxMediaItems) {
      throw new EpidoteException.InvalidRequest(
          "The request has %d media items; expected at most %d. Send fewer, or raise the router's limit."
              .formatted(count, maxMediaItems));
    }
  }

  private void checkToken(String field, int token) {
    if (token >= model.vocabulary()) {
      throw new EpidoteException.InvalidRequest(
          "%s names token %d; the vocabulary of %s has %d."
              .formatted(field, token, model.name(), model.vocabulary()));
    }
  }

  /** Tokens of prompt and answers, before either is known: what tenants are compared by. */
  double predictedTokens(GenerationRequest request) {
    int media = request.prompt().media().size() * model.mediaTokensPerTile();
    int answer = Math.min(request.sampling().maxTokens(), USUAL_ANSWER);
    return (double) request.prompt().characters() / TOKEN_CHARACTERS
        + media
        + (double) answer * request.choices();
  }

  PreparedRequest prepare(GenerationRequest request) {
    List<MediaInput> media = request.prompt().media();
    List<ServedModel.Media> plans = new ArrayList<>();
    List<MediaItem> items = new ArrayList<>();
    for (int i = 0; i < media.size(); i++) {
      ServedModel.Media plan = plan(media.get(i), i, media.size());
      plans.add(plan);
      items.add(item(media.get(i)).setIndex(i).setTiles(plan.tiles()).build());
    }
    ServedModel.Prompt prompt = model.prompt(request.prompt(), plans);
    String adapter = request.adapter(model.name());
    return new PreparedRequest(
        request,
        adapter,
        prompt,
        items,
        prefix(request, adapter, prompt, items),
        maxTokens(request, prompt));
  }

  private static PromptPrefix prefix(
      GenerationRequest request, String adapter, ServedModel.Prompt prompt, List<MediaItem> items) {
    List<KeyChain.MediaTokens> media = new ArrayList<>();
    for (MediaSpan span : prompt.spans()) {
      byte[] item = items.get(span.getItem()).getSha256().toByteArray();
      byte[] key =
          ByteBuffer.allocate(item.length + Integer.BYTES).put(item).putInt(span.getTile()).array();
      media.add(new KeyChain.MediaTokens(span.getPosition(), span.getTokens(), key));
    }
    KeyChain chain = new KeyChain(DecoderShape.BLOCK_TOKENS, adapter, "", request.salt().text());
    return PromptPrefix.of(chain.keys(prompt.tokenIds(), media));
  }

  private static MediaItem.Builder item(MediaInput input) {
    MediaItem.Builder item = MediaItem.newBuilder().setData(input.data());
    if (input instanceof MediaInput.Video video) {
      video.files().forEach(file -> item.addFrameBytes(file.size()));
    }
    return item.setSha256(sha256(item));
  }

  private ServedModel.Media plan(MediaInput input, int index, int count) {
    try {
      return model.plan(input);
    } catch (EpidoteException.InvalidRequest e) {
      throw new EpidoteException.InvalidRequest(named(index, count, e), e);
    } catch (EpidoteException.TooLarge e) {
      throw new EpidoteException.TooLarge(named(index, count, e));
    }
  }

  private static String named(int index, int count, EpidoteException error) {
    return "Media item %d of %d: %s".formatted(index + 1, count, error.getMessage());
  }

  private int maxTokens(GenerationRequest request, ServedModel.Prompt prompt) {
    int left = model.contextTokens() - prompt.tokenIds().length;
    if (left < 1) {
      throw new EpidoteException.InvalidRequest(
          "The prompt has %d tokens, %d of them for media; the context of %s holds %d, and the answer needs at least one. Shorten the text or send fewer or smaller pictures."
              .formatted(
                  prompt.tokenIds().length,
                  prompt.mediaTokens(),
                  model.name(),
                  model.contextTokens()));
    }
    return Math.min(left, request.sampling().maxTokens());
  }

  /** Of the bytes and of where frames begin: a GIF is one thing as a picture and one as a video. */
  private static ByteString sha256(MediaItem.Builder item) {
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      if (item.getFrameBytesCount() > 0) {
        digest.update(
            ("video " + item.getFrameBytesList() + "\n").getBytes(StandardCharsets.UTF_8));
      }
      item.getData().asReadOnlyByteBufferList().forEach(digest::update);
      return UnsafeByteOperations.unsafeWrap(digest.digest());
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every JDK has SHA-256", e);
    }
  }

  private static String shorten(String text) {
    return text.length() <= 100 ? text : text.substring(0, 100) + "…";
  }
}
