package io.epidote.scenes;

/**
 * The two halves of the world. Which one a scene belongs to is decided by a hash of its {@link
 * Scene#layout()}, so that no layout of the held-out split ever appears in training, whatever the
 * seeds are.
 */
public enum Split {
  TRAINING,
  HELD_OUT;

  /** One layout in this many is held out. */
  static final int HELD_OUT_ONE_IN = 8;

  /** The split that owns this layout. */
  public static Split of(Scene scene) {
    long hash = 0xcbf29ce484222325L; // FNV-1a: String.hashCode's low bits are too regular here
    String layout = scene.layout();
    for (int i = 0; i < layout.length(); i++) {
      hash = (hash ^ layout.charAt(i)) * 0x100000001b3L;
    }
    hash ^= hash >>> 32;
    return Math.floorMod(hash, HELD_OUT_ONE_IN) == 0 ? HELD_OUT : TRAINING;
  }
}
