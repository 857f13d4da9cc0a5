package io.epidote.encode;

/**
 * When the next file is turned into tiles: a decoded picture is many times its file, so that few
 * are decoded before the encoder is through with those before.
 *
 * @param enough tiles to have ready: what the encoder takes while the next file is decoded
 */
public record PictureRoom(int enough) {
  private static final int AT_A_TIME = 2;

  /**
   * @param decoding files that are being decoded
   * @param tilesDecoding tiles that these become
   * @param ready tiles that are decoded and not encoded
   * @param next tiles that the next file becomes
   */
  public boolean mayBegin(int decoding, int tilesDecoding, int ready, int next) {
    boolean hungry = decoding == 0 && ready < enough;
    return decoding < AT_A_TIME && (hungry || ready + tilesDecoding + next <= enough);
  }
}
