package io.epidote.engine.model;

/** What a device does in the midst of a step that lets itself be interrupted. */
@FunctionalInterface
public interface Interlude {
  /**
   * Waits, and does what is urgent meanwhile. To be called by the step's own thread, where the step
   * has nothing half done.
   *
   * @param dueNanos until when, by {@link System#nanoTime}
   * @return nanoseconds that urgent work took, by which the step ends later; 0 when it was due
   *     without any
   */
  long await(long dueNanos);
}
