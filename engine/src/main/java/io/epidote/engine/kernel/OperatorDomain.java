package io.epidote.engine.kernel;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.epidote.engine.error.EpidoteException.Internal;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * The operators of one session, as ONNX Runtime's C interface wants them: a table of functions for
 * each (OrtCustomOp in onnxruntime_c_api.h). Must outlive the session.
 */
public final class OperatorDomain implements AutoCloseable {
  public static final String NAME = "io.epidote";

  /** The version of OrtCustomOp whose fields are filled; shape inference and later ones are not. */
  private static final int CUSTOM_OP_VERSION = 16;

  /** ORT_FAIL of OrtErrorCode. */
  private static final int FAIL = 1;

  private final Arena arena = Arena.ofShared();
  private final UpcallStubs stubs = new UpcallStubs(arena);
  private final OrtApi api = new OrtApi();
  private final KernelContext context;
  private final List<Kernel> kernels = new ArrayList<>();
  private final MemorySegment domain;
  private @Nullable Throwable failure;

  /**
   * @param threads of the session
   * @param ownThreads whether the operators have their own, which are there through a step, or are
   *     run by ONNX Runtime's: where both multiply, they would be in each other's way
   */
  public OperatorDomain(List<Operator> operators, int threads, boolean ownThreads) {
    this.context = new KernelContext(api, arena, threads, ownThreads, stubs);
    try {
      MemorySegment result = arena.allocate(ADDRESS);
      api.createCustomOpDomain(arena.allocateFrom(NAME), result);
      this.domain = result.get(ADDRESS, 0);
      for (Operator operator : operators) {
        api.customOpDomainAdd(domain, new Functions(operator).table());
      }
    } catch (Throwable e) {
      throw new Internal("The operators cannot be registered: " + e.getMessage(), e);
    }
  }

  /**
   * The allocator of a session, for its counts.
   *
   * @param session the address of an OrtSession
   */
  public SessionAllocator allocatorOf(long session) {
    return new SessionAllocator(api, session);
  }

  /**
   * Makes the operators known to sessions that are created with these options.
   *
   * @param sessionOptions the address of an OrtSessionOptions
   */
  public void register(long sessionOptions) {
    try {
      api.addCustomOpDomain(MemorySegment.ofAddress(sessionOptions), domain);
    } catch (Throwable e) {
      throw new Internal("The operators cannot be registered: " + e.getMessage(), e);
    }
  }

  /** To be called before a run. */
  public void begin() {
    context.begin();
  }

  /** To be called after a run, which may have failed. */
  public void end() {
    context.end();
  }

  /** What a kernel threw in the run that failed, which native code could not pass on. */
  public Optional<Throwable> takeFailure() {
    Optional<Throwable> thrown = Optional.ofNullable(failure);
    failure = null;
    return thrown;
  }

  @Override
  public void close() {
    context.close();
    try {
      api.releaseCustomOpDomain(domain);
    } catch (Throwable e) {
      throw new Internal("The operators cannot be released: " + e.getMessage(), e);
    }
    arena.close();
  }

  /** The functions that ONNX Runtime calls for one operator. Every method is found by its name. */
  // Found by name, with the parameters of the C functions.
  @SuppressWarnings({"UnusedVariable", "UnusedMethod"})
  private final class Functions {
    private final Operator operator;
    private final MemorySegment name;
    private final MemorySegment attribute;

    Functions(Operator operator) {
      this.operator = operator;
      this.name = arena.allocateFrom(operator.name());
      this.attribute = arena.allocateFrom(operator.attribute());
    }

    /** OrtCustomOp, field by field. */
    MemorySegment table() {
      FunctionDescriptor typeOf = FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG);
      FunctionDescriptor count = FunctionDescriptor.of(JAVA_LONG, ADDRESS);
      FunctionDescriptor pointer = FunctionDescriptor.of(ADDRESS, ADDRESS);
      MemorySegment unused = MemorySegment.NULL;
      List<MemorySegment> functions =
          List.of(
              unused, // CreateKernel, before version 16
              stub("name", pointer),
              stub("provider", pointer),
              stub("inputType", typeOf),
              stub("inputCount", count),
              stub("outputType", typeOf),
              stub("outputCount", count),
              unused, // KernelCompute, before version 16
              stub("destroy", FunctionDescriptor.ofVoid(ADDRESS)),
              stub("optional", typeOf),
              stub("optional", typeOf),
              stub("memoryType", typeOf),
              unused, // four functions of operators with any number of inputs or outputs
              unused,
              unused,
              unused,
              stub("create", FunctionDescriptor.of(ADDRESS, ADDRESS, ADDRESS, ADDRESS, ADDRESS)),
              stub("compute", FunctionDescriptor.of(ADDRESS, ADDRESS, ADDRESS)));
      // The table of version 24 has 27 fields; those beyond ours stay null.
      MemorySegment table = arena.allocate(32 * ADDRESS.byteSize(), ADDRESS.byteSize());
      table.set(JAVA_INT, 0, CUSTOM_OP_VERSION);
      for (int i = 0; i < functions.size(); i++) {
        table.setAtIndex(ADDRESS, i + 1, functions.get(i));
      }
      return table;
    }

    private MemorySegment stub(String method, FunctionDescriptor signature) {
      return stubs.stub(this, method, signature);
    }

    /** Makes a node's kernel. Its number, from 1, stands for its address. */
    MemorySegment create(
        MemorySegment op, MemorySegment ortApi, MemorySegment info, MemorySegment kernel) {
      try (Arena scratch = Arena.ofConfined()) {
        MemorySegment value = scratch.allocate(JAVA_LONG);
        api.kernelInfoGetInt(info, attribute, value);
        kernels.add(operator.kernel().apply(value.get(JAVA_LONG, 0)));
        kernel
            .reinterpret(ADDRESS.byteSize())
            .set(ADDRESS, 0, MemorySegment.ofAddress(kernels.size()));
        return MemorySegment.NULL;
      } catch (Throwable e) {
        return failed(e);
      }
    }

    MemorySegment compute(MemorySegment kernel, MemorySegment kernelContext) {
      try {
        context.enter(kernelContext);
        kernels.get((int) kernel.address() - 1).compute(context);
        return MemorySegment.NULL;
      } catch (Throwable e) {
        return failed(e);
      }
    }

    /** A status that ends the run: an exception must not reach native code. */
    private MemorySegment failed(Throwable e) {
      failure = e;
      try (Arena scratch = Arena.ofConfined()) {
        return api.createStatus(FAIL, scratch.allocateFrom(operator.name() + ": " + e));
      } catch (Throwable unexpected) {
        throw new IllegalStateException(unexpected);
      }
    }

    MemorySegment name(MemorySegment op) {
      return name;
    }

    /** Null is the CPU. */
    MemorySegment provider(MemorySegment op) {
      return MemorySegment.NULL;
    }

    int inputType(MemorySegment op, long index) {
      return operator.inputs().get((int) index).code();
    }

    long inputCount(MemorySegment op) {
      return operator.inputs().size();
    }

    int outputType(MemorySegment op, long index) {
      return operator.outputs().get((int) index).code();
    }

    long outputCount(MemorySegment op) {
      return operator.outputs().size();
    }

    void destroy(MemorySegment kernel) {
      // The session's kernels go with the domain.
    }

    /** 1 of OrtCustomOpInputOutputCharacteristic: any input or output may be left out. */
    int optional(MemorySegment op, long index) {
      return 1;
    }

    /** 0 of OrtMemType: the provider's own. */
    int memoryType(MemorySegment op, long index) {
      return 0;
    }
  }
}
