package io.epidote.cli;

import io.epidote.engine.emulated.CostProfile;
import io.epidote.engine.emulated.DeviceMemory;
import io.epidote.engine.emulated.TimingAudit;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.node.transfer.TransferOptions.Pace;
import io.epidote.proto.v1.Stage;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Option;

/** Whether a node computes or is emulated, and as what. */
final class EmulationOptions {
  /** What runs a node's models. */
  enum Engine {
    DJL,
    EMULATED
  }

  @Option(
      names = "--engine",
      paramLabel = "ENGINE",
      description =
          "djl, or emulated: nothing is computed, every step takes what --profile says, and answers are noise. Everything else is real. Default: djl.")
  Engine engine = Engine.DJL;

  @Option(
      names = "--profile",
      paramLabel = "NAME|FILE|COSTS",
      converter = ProfileConverter.class,
      description = {
        "The device of an emulated engine: one that ships (minicpm-v-2.6-a100, minicpm-v-2.6-a100-paper, internvl2-8b-a100, internvl2-26b-a100), a JSON file as docs/profiles.md tells, or costs alone, for example tile_ms:20,prompt_token_ms:0.1."
      })
  @Nullable CostProfile profile;

  @Option(
      names = "--time-scale",
      paramLabel = "N",
      description =
          "Run an emulated device's time N times faster than the clock: what is measured is to be multiplied by N, what the host takes with it. Default: 1.")
  double timeScale = 1;

  static final class ProfileConverter implements ITypeConverter<CostProfile> {
    @Override
    public CostProfile convert(String text) {
      return Home.profile(text);
    }
  }

  /** Of all emulated models of these options in this process. */
  final TimingAudit audit = new TimingAudit();

  /** As {@code --engine emulated --profile ...}. */
  void emulate(CostProfile device) {
    engine = Engine.EMULATED;
    profile = device;
  }

  /** The device in the clock's time; empty for a real engine. */
  Optional<CostProfile> device() {
    if (engine == Engine.DJL) {
      if (profile != null || timeScale != 1) {
        throw new InvalidRequest(
            "--profile and --time-scale are for emulated nodes; add --engine emulated");
      }
      return Optional.empty();
    }
    if (profile == null) {
      throw new InvalidRequest(
          "--engine emulated needs a --profile, for example minicpm-v-2.6-a100 or tile_ms:20,prompt_token_ms:0.1");
    }
    return Optional.of(profile.faster(timeScale));
  }

  /** Sizes of pools. */
  record Room(Bytes kv, Bytes media) {}

  /** What the device has room for beside the weights of these stages, in the stand-in's bytes. */
  Optional<Room> room(Set<Stage> stages) {
    boolean encodes = stages.contains(Stage.STAGE_ENCODE);
    boolean prefills = stages.contains(Stage.STAGE_PREFILL);
    return device()
        .flatMap(device ->
            device
                .memory()
                .map(memory -> {
                  DeviceMemory.Room room =
                      memory.room(encodes, prefills, stages.contains(Stage.STAGE_DECODE));
                  // Encode and prefill have a pool each.
                  int pools = encodes && prefills ? 2 : 1;
                  return new Room(
                      new Bytes(room.kv() / device.byteScale()),
                      new Bytes(room.media() / device.byteScale() / pools));
                }));
  }

  /** The pace of transfers, in bytes that are really moved. */
  Optional<Pace> pace() {
    return device()
        .flatMap(device ->
            device
                .link()
                .map(link ->
                    new Pace(
                        link.gigabytesPerSecond() * 1e9 / device.byteScale(),
                        Math.round(link.latencyMs() * 1e6))));
  }

  /** The same options for another process. */
  List<String> arguments() {
    List<String> arguments = new ArrayList<>();
    device()
        .ifPresent(device ->
            arguments.addAll(
                List.of(
                    "--engine",
                    "emulated",
                    "--profile",
                    device.word(),
                    "--time-scale",
                    Double.toString(timeScale))));
    return arguments;
  }
}
