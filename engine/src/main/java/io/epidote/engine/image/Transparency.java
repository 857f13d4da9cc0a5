package io.epidote.engine.image;

/** What becomes of pixels that are not opaque. */
enum Transparency {
  /** Laid over white, as Hugging Face's Idefics3 does. */
  OVER_WHITE,
  /** Taken as opaque, as Pillow's conversion to RGB, and so Hugging Face's CLIP and SigLIP, do. */
  DROPPED
}
