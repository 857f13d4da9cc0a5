package io.epidote.engine.image;

/** How a media item becomes tiles, known before it is decoded. */
public sealed interface MediaPlan permits TilePlan, VideoPlan {
  /** Tiles that the item becomes. */
  int tiles();
}
