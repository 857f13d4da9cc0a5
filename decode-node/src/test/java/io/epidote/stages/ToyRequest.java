package io.epidote.stages;

import com.google.protobuf.ByteString;
import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.memory.KeyChain;
import io.epidote.engine.model.DecoderShape;
import io.epidote.engine.model.Logits;
import io.epidote.engine.model.SequenceChunk;
import io.epidote.proto.stage.v1.MediaItem;
import io.epidote.proto.stage.v1.MediaSpan;
import io.epidote.proto.stage.v1.PrefillStart;
import io.epidote.proto.v1.SamplingParams;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.function.Consumer;

/**
 * A request for the toy models: its pictures' tiles stand next to each other from token 1 of the
 * prompt.
 *
 * @param seed of the text: prompts of one seed begin alike
 * @param pictures tiles of each
 */
record ToyRequest(
    long seed,
    int textTokens,
    List<Integer> pictures,
    int maxTokens,
    long pictureSeed,
    String salt,
    int priority) {
  ToyRequest(long seed, int textTokens, List<Integer> pictures, int maxTokens) {
    this(seed, textTokens, pictures, maxTokens, seed);
  }

  ToyRequest(long seed, int textTokens, List<Integer> pictures, int maxTokens, long pictureSeed) {
    this(seed, textTokens, pictures, maxTokens, pictureSeed, "", 0);
  }

  /** The same of another tenant. */
  ToyRequest withSalt(String other) {
    return new ToyRequest(seed, textTokens, pictures, maxTokens, pictureSeed, other, priority);
  }

  ToyRequest withPriority(int other) {
    return new ToyRequest(seed, textTokens, pictures, maxTokens, pictureSeed, salt, other);
  }

  /** The same tokens with other pictures in their places. */
  ToyRequest withOtherPictures() {
    return new ToyRequest(seed, textTokens, pictures, maxTokens, pictureSeed + 1);
  }

  String id() {
    return "request-" + seed;
  }

  static ToyRequest random(long seed) {
    Random random = new Random(seed);
    List<Integer> pictures = new ArrayList<>();
    for (int i = random.nextInt(4); i > 0; i--) {
      pictures.add(1 + random.nextInt(4));
    }
    return new ToyRequest(seed, 2 + random.nextInt(70), pictures, 2 + random.nextInt(24));
  }

  int tiles() {
    return pictures.stream().mapToInt(Integer::intValue).sum();
  }

  int promptTokens() {
    return textTokens + tiles() * ToyEncoder.TILE_TOKENS;
  }

  SamplingParams sampling() {
    return SamplingParams.newBuilder().setMaxTokens(maxTokens).setTemperature(0).build();
  }

  byte[] file(int picture) {
    byte[] file = new byte[9];
    new Random(pictureSeed * 31 + picture).nextBytes(file);
    file[0] = pictures.get(picture).byteValue();
    return file;
  }

  List<MediaItem> mediaItems() {
    List<MediaItem> items = new ArrayList<>();
    for (int picture = 0; picture < pictures.size(); picture++) {
      items.add(
          MediaItem.newBuilder()
              .setIndex(picture)
              .setTiles(pictures.get(picture))
              .setSha256(sha256(file(picture)))
              .setData(ByteString.copyFrom(file(picture)))
              .build());
    }
    return items;
  }

  static ByteString sha256(byte[] file) {
    return ByteString.copyFrom(KeyChain.digest(ByteBuffer.wrap(file)));
  }

  int span(int picture, int tile) {
    return pictures.subList(0, picture).stream().mapToInt(Integer::intValue).sum() + tile;
  }

  int[] promptIds() {
    Random random = new Random(seed);
    return random.ints(promptTokens(), 0, ToyDecoder.SHAPE.vocabulary()).toArray();
  }

  PrefillStart prefillStart() {
    PrefillStart.Builder start =
        PrefillStart.newBuilder()
            .setRequestId(id())
            .setSampling(sampling())
            .setPriority(priority)
            .setCacheSalt(ByteString.copyFromUtf8(salt));
    for (int token : promptIds()) {
      start.addTokenIds(token);
    }
    for (int picture = 0; picture < pictures.size(); picture++) {
      for (int tile = 0; tile < pictures.get(picture); tile++) {
        start.addSpans(
            MediaSpan.newBuilder()
                .setItem(picture)
                .setTile(tile)
                .setPosition(1 + span(picture, tile) * ToyEncoder.TILE_TOKENS)
                .setTokens(ToyEncoder.TILE_TOKENS));
      }
    }
    return start.build();
  }

  /** The answer computed without nodes, one token after the other. */
  List<Integer> expected(Set<Integer> eosIds) {
    return expected(eosIds, block -> {});
  }

  /**
   * The same when the prompt's KV blocks are changed on their way to decode.
   *
   * @param moved changes a block
   */
  List<Integer> expected(Set<Integer> eosIds, Consumer<ByteBuffer> moved) {
    ToyEncoder encoder = new ToyEncoder();
    ToyDecoder decoder = new ToyDecoder();
    BlockPool kv = new BlockPool("reference", decoder.shape().kvBlockBytes(), 32);
    int[] blocks = kv.tryAllocate(DecoderShape.blocksFor(promptTokens() + maxTokens)).orElseThrow();
    List<SequenceChunk.MediaRows> media = new ArrayList<>();
    List<MediaItem> items = mediaItems();
    for (int picture = 0; picture < pictures.size(); picture++) {
      List<FloatBuffer> tiles = encoder.tiles(items.get(picture));
      for (int tile = 0; tile < tiles.size(); tile++) {
        ByteBuffer rows =
            ByteBuffer.allocateDirect(encoder.tileBytes()).order(ByteOrder.nativeOrder());
        encoder.encode(List.of(tiles.get(tile)), List.of(rows));
        media.add(
            new SequenceChunk.MediaRows(
                1 + span(picture, tile) * ToyEncoder.TILE_TOKENS, ToyEncoder.TILE_TOKENS, rows));
      }
    }
    List<Integer> answer = new ArrayList<>();
    int[] next = promptIds();
    int past = 0;
    while (answer.size() < maxTokens) {
      Logits logits = decoder.step(kv, List.of(new SequenceChunk(next, past, blocks, media, true)));
      if (past == 0) {
        for (int block = 0; block < DecoderShape.blocksFor(next.length); block++) {
          moved.accept(kv.block(blocks[block]));
        }
      }
      past += next.length;
      media = List.of();
      int best = argmax(logits.row(0));
      answer.add(best);
      next = new int[] {best};
      if (eosIds.contains(best)) {
        break;
      }
    }
    return answer;
  }

  private static int argmax(FloatBuffer row) {
    int best = 0;
    for (int i = 1; i < row.remaining(); i++) {
      best = row.get(i) > row.get(best) ? i : best;
    }
    return best;
  }
}
