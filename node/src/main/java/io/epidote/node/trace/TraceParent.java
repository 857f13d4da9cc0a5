package io.epidote.node.trace;

import static java.util.Objects.requireNonNull;

import io.grpc.Context;
import io.grpc.Metadata;
import org.jspecify.annotations.Nullable;

/**
 * Whose part a request is, as a caller says it in W3C's headers. Where a request is begun, it is in
 * the gRPC context, whatever protocol it came by.
 *
 * @param parent {@code traceparent}, as sent; empty for none
 * @param state {@code tracestate}, as sent; empty for none
 */
public record TraceParent(String parent, String state) {
  public static final TraceParent NONE = new TraceParent("", "");
  public static final String PARENT = "traceparent";
  public static final String STATE = "tracestate";

  /** Bytes of each header beyond which it is nobody's. */
  private static final int LONGEST = 1024;

  private static final Context.Key<TraceParent> KEY = Context.keyWithDefault(PARENT, NONE);
  private static final Metadata.Key<String> PARENT_KEY = key(PARENT);
  private static final Metadata.Key<String> STATE_KEY = key(STATE);

  public TraceParent {
    requireNonNull(parent, "parent is null");
    requireNonNull(state, "state is null");
  }

  static Metadata.Key<String> key(String name) {
    return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
  }

  /** As headers say it, which may be absent. */
  public static TraceParent of(@Nullable String parent, @Nullable String state) {
    if (parent == null || parent.length() > LONGEST) {
      return NONE;
    }
    return new TraceParent(parent, state == null || state.length() > LONGEST ? "" : state);
  }

  static TraceParent of(Metadata headers) {
    return of(headers.get(PARENT_KEY), headers.get(STATE_KEY));
  }

  /** That of the call that is being worked on. */
  public static TraceParent current() {
    return KEY.get();
  }

  /** Runs what begins a request of this trace. */
  public void run(Runnable work) {
    if (equals(NONE)) {
      work.run();
    } else {
      Context.current().withValue(KEY, this).run(work);
    }
  }

  Context in(Context context) {
    return context.withValue(KEY, this);
  }

  @Nullable String get(String header) {
    String value =
        switch (header) {
          case PARENT -> parent;
          case STATE -> state;
          default -> "";
        };
    return value.isEmpty() ? null : value;
  }
}
