package io.epidote.cli;

import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;

/**
 * What fits a memory limit that holds for each node, with the stages apart and in one node.
 *
 * @param name of the model and where the bytes are from
 * @param limit of each node, bytes
 * @param held by a node of these stages whatever it serves: weights, work, the process itself
 * @param work of one tile: its pixels and what the encoder computes in; 0 when it is not known
 */
record MemoryShare(
    String name, long limit, Held held, Picture picture, long kvTokenBytes, long work) {
  /** Bytes that nodes of these stages hold. */
  record Held(long encode, long prefill, long decode, long aggregated) {}

  /**
   * A picture once it is encoded.
   *
   * @param tokens of a tile
   * @param bytes of a tile's media tokens
   */
  record Picture(int tiles, int tokens, long bytes) {
    /** Of all its tiles, each with so much more. */
    private long with(long more) {
      return tiles * (bytes + more);
    }
  }

  private static long count(long room, long each) {
    return Math.max(0, room / each);
  }

  private long tileKv() {
    return picture.tokens() * kvTokenBytes;
  }

  /** An encode node has all media tokens of a request. */
  long encodePictures() {
    return count(limit - held.encode(), picture.with(0));
  }

  /** A prefill node has them, too, at the most, and the KV blocks of the prompt. */
  long prefillPictures() {
    return count(limit - held.prefill(), picture.with(tileKv()));
  }

  long decodePictures() {
    return count(limit - held.decode(), picture.tiles() * tileKv());
  }

  /** What every node of its way has room for. */
  long apartPictures() {
    return Math.min(encodePictures(), Math.min(prefillPictures(), decodePictures()));
  }

  long aggregatedPictures() {
    return count(limit - held.aggregated(), picture.with(tileKv()));
  }

  /** On an encode node that works on all tiles of a request at a time, which Epidote's do not. */
  long encodePicturesAtOnce() {
    return count(limit - held.encode(), picture.with(work));
  }

  /** The same on a node of all stages. */
  long aggregatedPicturesAtOnce() {
    return count(limit - held.aggregated(), picture.with(tileKv() + work));
  }

  long prefillKvTokens() {
    return count(limit - held.prefill(), kvTokenBytes);
  }

  long decodeKvTokens() {
    return count(limit - held.decode(), kvTokenBytes);
  }

  long aggregatedKvTokens() {
    return count(limit - held.aggregated(), kvTokenBytes);
  }

  static double ratio(long apart, long together) {
    return Report.rounded((double) apart / Math.max(1, together));
  }

  Map<String, Object> row() {
    Map<String, Object> row = new LinkedHashMap<>();
    row.put("profile", name);
    row.put("limit_bytes", limit);
    row.put("held_encode_bytes", held.encode());
    row.put("held_prefill_bytes", held.prefill());
    row.put("held_decode_bytes", held.decode());
    row.put("held_aggregated_bytes", held.aggregated());
    row.put("tiles_per_picture", picture.tiles());
    row.put("tile_bytes", picture.bytes());
    row.put("kv_token_bytes", kvTokenBytes);
    row.put("pictures_encode", encodePictures());
    row.put("pictures_prefill", prefillPictures());
    row.put("pictures_decode", decodePictures());
    row.put("pictures_aggregated", aggregatedPictures());
    if (work > 0) {
      row.put("tile_work_bytes", work);
      row.put("pictures_encode_at_once", encodePicturesAtOnce());
      row.put("pictures_aggregated_at_once", aggregatedPicturesAtOnce());
    }
    row.put("kv_tokens_prefill", prefillKvTokens());
    row.put("kv_tokens_decode", decodeKvTokens());
    row.put("kv_tokens_aggregated", aggregatedKvTokens());
    return row;
  }

  /** For people. */
  String text() {
    String line = "%-34s %12s %12s %12s %12s%n";
    return String.format(Locale.ROOT, "%s, %s a node%n", name, Bytes.words(limit))
        + String.format(Locale.ROOT, line, "", "encode", "prefill", "decode", "aggregated")
        + String.format(
            Locale.ROOT,
            line,
            "held whatever is served",
            Bytes.words(held.encode()),
            Bytes.words(held.prefill()),
            Bytes.words(held.decode()),
            Bytes.words(held.aggregated()))
        + String.format(
            Locale.ROOT,
            line,
            "pictures in a request",
            encodePictures(),
            prefillPictures(),
            decodePictures(),
            aggregatedPictures())
        + String.format(
            Locale.ROOT,
            line,
            "the same, all encoded at once",
            work > 0 ? encodePicturesAtOnce() : "?",
            "",
            "",
            work > 0 ? aggregatedPicturesAtOnce() : "?")
        + String.format(
            Locale.ROOT,
            line,
            "KV tokens",
            "",
            prefillKvTokens(),
            decodeKvTokens(),
            aggregatedKvTokens());
  }
}
