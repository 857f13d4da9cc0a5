package io.epidote.node.trace;

import io.grpc.Metadata;
import java.util.List;

/** A part of a trace that is under way, or {@link #NONE}. Thread-safe. */
public interface OpenSpan {
  /** What is not traced: does nothing, at no cost. */
  OpenSpan NONE =
      new OpenSpan() {
        @Override
        public OpenSpan call(String name, Metadata headers) {
          return this;
        }

        @Override
        public boolean isRecorded() {
          return false;
        }

        @Override
        public String traceId() {
          return "";
        }

        @Override
        public String spanId() {
          return "";
        }

        @Override
        public void attribute(String key, String value) {}

        @Override
        public void attribute(String key, long value) {}

        @Override
        public void attribute(String key, double value) {}

        @Override
        public void attribute(String key, List<String> values) {}

        @Override
        public void failed(String type, String message) {}

        @Override
        public void end() {}
      };

  /**
   * Begins a call to another process as a part of this one.
   *
   * @param headers of the call, into which its trace context is put
   */
  OpenSpan call(String name, Metadata headers);

  /** Whether it will be sent: not {@link #NONE}, and in the sample. */
  boolean isRecorded();

  /** Hex; empty for {@link #NONE}. */
  String traceId();

  /** Hex; empty for {@link #NONE}. */
  String spanId();

  void attribute(String key, String value);

  void attribute(String key, long value);

  void attribute(String key, double value);

  void attribute(String key, List<String> values);

  /**
   * @param type a word for the kind of error
   */
  void failed(String type, String message);

  /** Only the first call does anything. */
  void end();
}
