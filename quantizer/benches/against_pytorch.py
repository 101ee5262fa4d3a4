"""Training steps and inference against PyTorch on the same processor, alternated in one run.

Needs `torch` (pip) and, for its best setting, a jemalloc library. Run from the repository's root:

    cargo bench -p resmcu-quantizer --bench training_step --no-run
    python quantizer/benches/against_pytorch.py --bench PATH_OF_THE_BINARY [--network resnet8]
        [--threads 2] [--batch 128] [--mode train|infer] [--settings nchw,channels_last,bf16]

Each setting runs in a process of its own (jemalloc preloaded for those of `+jemalloc`), as does the
engine; rounds go A B C A B C, and a ratio is taken round by round. Its median is printed with the
quartiles: a machine that others use makes the times worthless, the ratios less so.
"""

import argparse
import glob
import os
import statistics
import subprocess
import sys


def model(name, torch):
    """The ResNets of He et al. 2015 as the engine builds them: projections where shapes change."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, inputs, width, stride, bottleneck):
            super().__init__()
            outputs = width * (4 if bottleneck else 1)
            bn = nn.BatchNorm2d

            def conv(i, o, kernel, stride=1):
                return [nn.Conv2d(i, o, kernel, stride, kernel // 2, bias=False), bn(o)]

            if bottleneck:
                layers = conv(inputs, width, 1) + [nn.ReLU()] + conv(width, width, 3, stride)
                layers += [nn.ReLU()] + conv(width, outputs, 1)
            else:
                layers = conv(inputs, width, 3, stride) + [nn.ReLU()] + conv(width, width, 3)
            self.body = nn.Sequential(*layers)
            same = inputs == outputs and stride == 1
            self.shortcut = nn.Identity() if same else nn.Sequential(*conv(inputs, outputs, 1, stride))

        def forward(self, x):
            return torch.relu(self.body(x) + self.shortcut(x))

    depth = int(name.removeprefix("resnet"))
    large = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3], 101: [3, 4, 23, 3]}
    if depth in large:
        blocks, width, bottleneck = large[depth], 64, depth >= 50
        stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
        stem += [nn.MaxPool2d(3, 2, 1)]
        shape, classes = [3, 224, 224], 1000
    else:
        blocks, width, bottleneck = [(depth - 2) // 6] * 3, 16, False
        stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
        shape, classes = [3, 32, 32], 10
    layers, inputs = stem, width
    for stage, count in enumerate(blocks):
        for block in range(count):
            stride = 2 if stage > 0 and block == 0 else 1
            layers.append(Block(inputs, width << stage, stride, bottleneck))
            inputs = (width << stage) * (4 if bottleneck else 1)
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes)]
    return nn.Sequential(*layers), shape, classes


def serve(setting, name, batch, mode):
    """PyTorch's side: answers each number of rounds with the seconds that one took."""
    import time

    import torch

    torch.set_num_threads(int(os.environ["RAYON_NUM_THREADS"]))
    net, shape, classes = model(name, torch)
    x, labels = torch.randn(batch, *shape), torch.randint(0, classes, (batch,))
    if "channels_last" in setting:
        net = net.to(memory_format=torch.channels_last)
        x = x.to(memory_format=torch.channels_last)
    bf16 = torch.autocast("cpu", dtype=torch.bfloat16, enabled="bf16" in setting)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    net.train(mode == "train")

    def step():
        if mode == "infer":
            with torch.inference_mode(), bf16:
                return net(x)
        optimizer.zero_grad(set_to_none=True)
        with bf16:
            loss = torch.nn.functional.cross_entropy(net(x), labels)
        loss.backward()
        optimizer.step()

    for _ in range(3):
        step()
    print("ready", flush=True)
    for line in sys.stdin:
        begun = time.perf_counter()
        for _ in range(int(line)):
            step()
        print((time.perf_counter() - begun) / int(line), flush=True)


class Peer:
    """A process that answers numbers of rounds with seconds."""

    def __init__(self, command, threads, preload=None):
        environment = os.environ | {"RAYON_NUM_THREADS": str(threads)}
        if preload:
            environment |= {"LD_PRELOAD": preload}
            environment |= {"MALLOC_CONF": "dirty_decay_ms:-1,muzzy_decay_ms:-1"}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
        assert self.process.stdout.readline().strip() == "ready", command
        self.peak = 0

    def seconds(self, rounds):
        self.process.stdin.write(f"{rounds}\n")
        self.process.stdin.flush()
        answer = float(self.process.stdout.readline())
        with open(f"/proc/{self.process.pid}/status") as status:
            peak = next(line for line in status if line.startswith("VmHWM"))
        self.peak = int(peak.split()[1]) / 1024
        return answer


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bench", required=True, help="the benchmark's binary")
    parser.add_argument("--network", default="resnet8")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--mode", choices=["train", "infer"], default="train")
    parser.add_argument("--pairs", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=0.5, help="of one sample")
    parser.add_argument("--settings", default="nchw,channels_last,channels_last+jemalloc,"
                        "channels_last+jemalloc+bf16")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        return serve(arguments.serve, arguments.network, arguments.batch, arguments.mode)
    shape = [arguments.network, str(arguments.batch), arguments.mode]
    peers = {"engine": Peer([arguments.bench, "serve", *shape], arguments.threads)}
    jemalloc = next(iter(glob.glob("/usr/lib/*/libjemalloc.so.2")), None)
    for setting in arguments.settings.split(","):
        if "jemalloc" in setting and not jemalloc:
            print(f"{setting}: left out, no jemalloc library is installed")
            continue
        command = [sys.executable, __file__, *sys.argv[1:], "--serve", setting]
        preload = jemalloc if "jemalloc" in setting else None
        peers[setting] = Peer(command, arguments.threads, preload)
    rounds = {n: max(1, round(arguments.seconds / p.seconds(2))) for n, p in peers.items()}
    times = {name: [] for name in peers}
    for _ in range(arguments.pairs):
        for name, peer in peers.items():
            times[name].append(peer.seconds(rounds[name]))
    print(f"{' '.join(shape)}, {arguments.threads} threads, {arguments.pairs} rounds")
    print(f"{'':32} {'images/s':>9} {'engine is':>10} {'quartiles':>16} {'peak MiB':>9}")
    for name, samples in times.items():
        ratios = [other / own for own, other in zip(times["engine"], samples)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        speed = arguments.batch / statistics.median(samples)
        span = f"{low:.2f} to {high:.2f}"
        print(f"{name:32} {speed:9.0f} {middle:9.2f}x {span:>16} {peers[name].peak:9.0f}")


if __name__ == "__main__":
    main()
