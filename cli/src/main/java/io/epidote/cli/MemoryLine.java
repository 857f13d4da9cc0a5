package io.epidote.cli;

import com.google.protobuf.ByteString;
import io.epidote.engine.emulated.CostProfile;
import io.epidote.engine.memory.MediaKeys;
import io.epidote.node.grpc.ChannelKind;
import io.epidote.node.grpc.GrpcTransport;
import io.epidote.proto.stage.v1.EncodeRequest;
import io.epidote.proto.stage.v1.EncodeResponse;
import io.epidote.proto.stage.v1.EncodeServiceGrpc;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.MediaItem;
import io.epidote.proto.stage.v1.ReleaseRequest;
import io.epidote.proto.stage.v1.TransferServiceGrpc;
import io.epidote.proto.v1.NodeStatus;
import io.grpc.ManagedChannel;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import javax.imageio.ImageIO;

/**
 * The peak of an encode process's resident memory after one request with few pictures of 4032×3024
 * and after one with many: pictures are real, tiles have SmolVLM's size, the encoder is emulated.
 * Linux only.
 */
final class MemoryLine implements DatapathLine {
  private static final int FEW = 4;
  private static final int MANY = 40;

  /** Of a picture of that size in SmolVLM's grid: 4 by 3 and an overview. */
  private static final int TILES = 13;

  /** Of which the 40 files, and the media tokens of as many pictures, need more than half. */
  private static final Bytes CACHE = new Bytes(256 << 20);

  private final ProcessCluster cluster;
  private final NodeStatus node;
  private final ManagedChannel channel;
  private final ByteString file;
  private int sent;
  private long idleKib;
  private long fewKib;
  private long manyKib;

  MemoryLine(Progress progress) {
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.model.folder = Home.modelOrShape("smolvlm-256m", progress);
    options.node.emulation.emulate(CostProfile.parse("tile_ms:10"));
    options.node.mediaCache = CACHE;
    cluster = ProcessCluster.start(options, NodeSpec.parseList("E"), progress);
    try (InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      node = client.load().getNodes(0);
    }
    channel = GrpcTransport.channel(node.getAddress(), ChannelKind.CONTROL).build();
    file = jpeg(new FreshPictures().picture(4032, 3024));
  }

  private static ByteString jpeg(BufferedImage picture) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try {
      ImageIO.write(picture, "jpeg", bytes);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return ByteString.copyFrom(bytes.toByteArray());
  }

  @Override
  public String name() {
    return "memory";
  }

  @Override
  public boolean isMeasuredOnce() {
    return true;
  }

  @Override
  public void round() {
    idleKib = peakKib();
    encode(FEW);
    fewKib = peakKib();
    encode(MANY);
    manyKib = peakKib();
  }

  /** Encodes that many pictures, each of which is new to the node. */
  private void encode(int pictures) {
    List<MediaItem> items = new ArrayList<>();
    for (int i = 0; i < pictures; i++) {
      ByteBuffer digest = ByteBuffer.allocate(MediaKeys.DIGEST_BYTES).putInt(0, sent++);
      items.add(
          MediaItem.newBuilder()
              .setIndex(i)
              .setTiles(TILES)
              .setSha256(ByteString.copyFrom(digest))
              .setData(file)
              .build());
    }
    EncodeRequest request = EncodeRequest.newBuilder().addAllItems(items).build();
    TransferServiceGrpc.TransferServiceBlockingStub transfers =
        TransferServiceGrpc.newBlockingStub(channel);
    Iterator<EncodeResponse> answers = EncodeServiceGrpc.newBlockingStub(channel).encode(request);
    while (answers.hasNext()) {
      EncodeResponse answer = answers.next();
      if (answer.hasReady()) {
        // As if it had been pulled: the node may have the block back, and keeps it in its cache.
        Handle handle = answer.getReady().getHandle();
        var _ = transfers.release(ReleaseRequest.newBuilder().addHandles(handle).build());
      }
    }
  }

  private long peakKib() {
    Path status =
        Path.of("/proc", Long.toString(cluster.children().get(1).process().pid()), "status");
    try {
      return Files.readAllLines(status).stream()
          .filter(line -> line.startsWith("VmHWM:"))
          .map(line -> line.replaceAll("[^0-9]", ""))
          .mapToLong(Long::parseLong)
          .findFirst()
          .orElseThrow();
    } catch (IOException e) {
      throw new UncheckedIOException("The peak of a process's memory cannot be read", e);
    }
  }

  @Override
  public void forget() {
    // There is one round.
  }

  @Override
  public void report(Report report) {
    report
        .figure("encode_idle_mib", idleKib >> 10)
        .figure("encode_peak_mib_%d_pictures".formatted(FEW), fewKib >> 10)
        .figure("encode_peak_mib_%d_pictures".formatted(MANY), manyKib >> 10)
        .figure(
            "encode_media_mib_%d_pictures".formatted(MANY),
            MANY * TILES * node.getMediaBlockBytes() >> 20)
        .figure("encode_media_cache_mib", CACHE.value() >> 20)
        .figure(
            "encode_peak_of_limit", Report.rounded((manyKib - idleKib) * 1024.0 / CACHE.value()));
  }

  @Override
  public void close() {
    channel.shutdownNow();
    cluster.close();
  }
}
