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
    return of(scene.layout());
  }

  /** The split that owns what this text stands for. */
  static Split of(String text) {
    long hash = 0xcbf29ce484222325L; // FNV-1a: String.hashCode's low bits are too regular here
    for (int i = 0; i < text.length(); i++) {
      hash = (hash ^ text.charAt(i)) * 0x100000001b3L;
    }
    hash ^= hash >>> 32;
    return Math.floorMod(hash, HELD_OUT_ONE_IN) == 0 ? HELD_OUT : TRAINING;
  }
}
