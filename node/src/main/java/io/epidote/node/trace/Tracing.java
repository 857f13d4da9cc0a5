package io.epidote.node.trace;

import io.grpc.ServerInterceptor;
import java.net.URI;
import java.util.List;
import java.util.Optional;

/** Where spans begin. */
public interface Tracing extends AutoCloseable {
  /** Nothing is traced. */
  Tracing OFF =
      new Tracing() {
        @Override
        public OpenSpan receive(String name, TraceParent parent) {
          return OpenSpan.NONE;
        }

        @Override
        public List<ServerInterceptor> forClients() {
          return List.of();
        }

        @Override
        public List<ServerInterceptor> forStages() {
          return List.of();
        }

        @Override
        public Optional<Exemplars> exemplars() {
          return Optional.empty();
        }

        @Override
        public void close() {}
      };

  /**
   * What is traced, and where it is sent.
   *
   * @param endpoint of a collector, which takes OTLP over HTTP there; empty: nothing is traced
   * @param ratio of the traces that begin here which are sent, 0 to 1; a caller's own are as it
   *     says
   */
  record Options(Optional<URI> endpoint, double ratio) {
    public static final Options NONE = new Options(Optional.empty(), 1);
  }

  /**
   * Begins to trace.
   *
   * @param service what the process is: router or node
   * @param instance its name in the cluster
   * @param version of Epidote
   */
  static Tracing start(Options options, String service, String instance, String version) {
    return options
        .endpoint()
        .<Tracing>map(
            endpoint -> OtlpTracing.start(endpoint, options.ratio(), service, instance, version))
        .orElse(OFF);
  }

  /** Begins what another process has asked for. */
  OpenSpan receive(String name, TraceParent parent);

  /** For a server that clients call: their traces are in the context of their calls. */
  List<ServerInterceptor> forClients();

  /** For a server of stages: their calls are parts of traces. */
  List<ServerInterceptor> forStages();

  /** For metrics that name traces; empty when nothing is traced. */
  Optional<Exemplars> exemplars();

  /** Sends what is left, within a few seconds. */
  @Override
  void close();
}
