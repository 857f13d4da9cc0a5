package io.epidote.engine.image;

import java.util.List;

/**
 * Which frames of a video are looked at, one tile each.
 *
 * @param frames their places in the video, from 0, ascending
 * @param seconds when each is shown, from the video's start
 * @param duration of the video, seconds
 */
public record VideoPlan(List<Integer> frames, List<Double> seconds, double duration)
    implements MediaPlan {
  public VideoPlan {
    frames = List.copyOf(frames);
    seconds = List.copyOf(seconds);
  }

  @Override
  public int tiles() {
    return frames.size();
  }
}
