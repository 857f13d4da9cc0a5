package io.epidote.client;

import io.epidote.proto.v1.AbortRequest;
import io.epidote.proto.v1.GetModelRequest;
import io.epidote.proto.v1.GetModelResponse;
import io.epidote.proto.v1.InferenceGrpc;
import io.epidote.proto.v1.InferenceGrpc.InferenceBlockingStub;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;

/**
 * A client of a router. Safe for use by many threads.
 *
 * <pre>{@code
 * try (EpidoteClient client = EpidoteClient.connect("localhost:8001");
 *     AnswerStream stream = client.stream(Question.of("describe the picture.").picture(file))) {
 *   stream.forEachRemaining(System.out::print);
 *   System.out.println(stream.answer().timeline());
 * }
 * }</pre>
 */
public final class EpidoteClient implements AutoCloseable {
  private static final long SHORT_CALL_SECONDS = 10;
  private static final int LARGEST_MESSAGE = 64 << 20;

  private final ManagedChannel channel;
  private final InferenceBlockingStub stub;

  private EpidoteClient(ManagedChannel channel) {
    this.channel = channel;
    this.stub = InferenceGrpc.newBlockingStub(channel);
  }

  /**
   * Connects without encryption when the first question is asked.
   *
   * @param address host:port of a router's gRPC port
   */
  public static EpidoteClient connect(String address) {
    return of(
        NettyChannelBuilder.forTarget("dns:///" + address)
            .usePlaintext()
            .maxInboundMessageSize(LARGEST_MESSAGE)
            .build());
  }

  /** Over a channel of one's own, with TLS, credentials or interceptors; closed with the client. */
  public static EpidoteClient of(ManagedChannel channel) {
    return new EpidoteClient(channel);
  }

  /**
   * Asks and waits for the whole answer.
   *
   * @throws RequestFailed when there is none; its message says what to do
   */
  public Answer ask(Question question) {
    try (AnswerStream stream = stream(question)) {
      return stream.answer();
    }
  }

  /**
   * Asks; the answer's text comes piece by piece. To be closed, which cancels what is not complete.
   *
   * @throws RequestFailed when the question cannot be sent
   */
  public AnswerStream stream(Question question) {
    return new AnswerStream(
        stub.withDeadlineAfter(question.timeout().toMillis(), TimeUnit.MILLISECONDS),
        question.request(),
        channel.authority());
  }

  /**
   * Ends a request by its id ({@link Question#id}), whoever asked it: its answer ends with what it
   * has.
   *
   * @return whether there was one
   */
  public boolean abort(String id) {
    return call(
        calls -> calls.abort(AbortRequest.newBuilder().setRequestId(id).build()).getFound());
  }

  /** What the router serves. */
  public GetModelResponse model() {
    return call(calls -> calls.getModel(GetModelRequest.getDefaultInstance()));
  }

  private <T> T call(Function<InferenceBlockingStub, T> call) {
    try {
      return call.apply(stub.withDeadlineAfter(SHORT_CALL_SECONDS, TimeUnit.SECONDS));
    } catch (StatusRuntimeException e) {
      throw RequestFailed.of(e, channel.authority());
    }
  }

  @Override
  public void close() {
    channel.shutdownNow();
  }
}
