# The thin front of CMake: `make demo` and `make test` do everything from a bare machine.
DEVICE ?= cpu
STAMP = build/.setup

.PHONY: all build demo test test-asan bench install fuzz clean setup

all: build

# Installing is tried only where a tool or library is missing.
setup: $(STAMP)
$(STAMP): scripts/setup
	scripts/setup
	mkdir -p build && touch $(STAMP)

build: $(STAMP)
	cmake --preset release >/dev/null
	cmake --build --preset release

demo: build
	examples/demo build/weft $(DEVICE)

# Fast tests first under AddressSanitizer and UndefinedBehaviorSanitizer, then everything.
test: build test-asan
	ctest --test-dir build --output-on-failure --no-tests=error

test-asan: $(STAMP)
	cmake --preset asan >/dev/null
	cmake --build --preset asan
	ctest --test-dir build-asan --output-on-failure --no-tests=error -LE slow

bench: build
	build/check_kernels --bench
	build/weft bench --shape 125m --seconds 2

# PREFIX chooses where: make install PREFIX=$$HOME/.local
PREFIX ?= /usr/local
install: $(STAMP)
	cmake --preset release -DCMAKE_INSTALL_PREFIX=$(PREFIX) >/dev/null
	cmake --build --preset release
	cmake --install build

# make fuzz SECONDS=600: every libFuzzer target from its regression corpus.
SECONDS ?= 60
fuzz: $(STAMP)
	scripts/fuzz $(SECONDS)

clean:
	rm -rf build build-asan build-fuzz
