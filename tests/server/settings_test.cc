// Settings: four ways in, one table; what is wrong stops the start and says where it was said.
#include "edge/server/config/settings.h"

#include <gtest/gtest.h>
#include <stdio.h>
#include <stdlib.h>

#include "edge/server/config/setting_table.h"
#include "edge/server/config/values.h"
#include "engine/api/mote_gpu.h"

namespace mote::server {
namespace {

using Words = std::vector<std::string>;
using Variables = std::map<std::string, std::string>;

SettingSources Sources(Words words, Variables variables = {}, Variables files = {}) {
  SettingSources sources;
  sources.arguments = std::move(words);
  sources.environment = std::move(variables);
  sources.read_file = [files](const std::string& path) -> Result<std::string> {
    const auto found = files.find(path);
    if (found == files.end()) return Error{MOTE_IO, path + ": No such file or directory"};
    return found->second;
  };
  return sources;
}

Settings Read(Words words, Variables variables = {}, Variables files = {}) {
  const Result<Settings> settings = ReadSettings(Sources(std::move(words), std::move(variables), std::move(files)));
  EXPECT_TRUE(settings.ok()) << settings.error().message;
  return settings.ok() ? *settings : Settings{};
}

std::string Fails(Words words, Variables variables = {}, Variables files = {}) {
  const Result<Settings> settings = ReadSettings(Sources(std::move(words), std::move(variables), std::move(files)));
  return settings.ok() ? "(it was taken)" : settings.error().message;
}

// A right value that is not the default, and what else must be said for it to be allowed.
std::string Sample(const Setting& setting) {
  static const Variables kOwn = {{"model", "a.gguf"},
                                 {"num_workers", "3-4"},
                                 {"quantization_mode", "q8_0"},
                                 {"bind_addr", "127.0.0.2:81"},
                                 {"host", "127.0.0.3"},
                                 {"port", "82"},
                                 {"api_key_required", "off"},
                                 {"api_key", "0123456789abcdef"},
                                 {"jwt_keys", "ES256=key.pem"},
                                 {"device", "cpu"},
                                 {"gpu_layers", "7"},
                                 {"split", "3:2"},
                                 {"prefill_budget", "7"},
                                 {"batch_size", "700"},
                                 {"max_line", "9000"},
                                 {"max_header", "33000"},
                                 {"max_body", "30000000"},
                                 {"max_image", "5000"},
                                 {"memory_pool_size", "8G"},
                                 {"cors_origins", "https://a.example"},
                                 {"allowed_hosts", "a.example"},
                                 {"trusted_proxies", "10.0.0.0/8"},
                                 {"image_hosts", "images.example"},
                                 {"repack", "q4_0"}};
  const auto own = kOwn.find(setting.key);
  if (own != kOwn.end()) return own->second;
  switch (setting.written) {
    case Written::kNumber:
      if (setting.high > 100) return "7";
      return setting.high > 1.5 ? "1.5" : "0.25";
    case Written::kCount:
    case Written::kBytes:
    case Written::kSeconds:
      return std::to_string(static_cast<uint64_t>(setting.low) + 1);
    case Written::kSwitch:
      return std::string(setting.normal) == "on" ? "off" : "on";
    case Written::kChoice: {
      const std::vector<std::string_view> words = Split(setting.words, '|');
      return std::string(words[0] == setting.normal ? words[1] : words[0]);
    }
    default:
      return std::string(setting.words).find("60/min") != std::string::npos ? "5/s" : "file.pem";
  }
}

// Settings that stand only together.
Words Companions(const std::string& key) {
  if (key == "tls_cert") return {"--tls-key", "k"};
  if (key == "tls_key") return {"--tls-cert", "c"};
  if (key == "tls_client_ca") return {"--tls-cert", "c", "--tls-key", "k"};
  if (key == "tls_crl") return {"--tls-cert", "c", "--tls-key", "k", "--tls-client-ca", "a"};
  if (key == "cors_enabled") return {"--cors-origins", "https://a.example"};
  if (key == "cors_origins") return {"--cors-enabled"};
  if (key == "jwt_keys") return {"--jwt-issuer", "i", "--jwt-audience", "a"};
  if (key == "jwt_issuer") return {"--jwt-keys", "ES256=k", "--jwt-audience", "a"};
  if (key == "jwt_audience") return {"--jwt-keys", "ES256=k", "--jwt-issuer", "i"};
  return {};
}

TEST(Settings, DefaultsOfTheTableAreThoseOfTheStruct) {
  for (const Setting& setting : SettingTable()) {
    Settings settings;
    if (*setting.normal != '\0') {
      EXPECT_EQ(Assign(setting, setting.normal, &settings), "") << setting.key;
    }
    EXPECT_EQ(settings, Settings{}) << setting.key << " is not " << setting.normal;
  }
  EXPECT_EQ(Read({}), Settings{});
}

TEST(Settings, EachWayInSetsTheSame) {
  for (const Setting& setting : SettingTable()) {
    const std::string value = Sample(setting);
    const Words others = Companions(setting.key);
    const Settings without = [&] {
      Settings settings;
      for (size_t i = 0; i < others.size(); i += 2) {
        for (const Setting& other : SettingTable()) {
          if (other.Flag() == others[i]) {
            EXPECT_EQ(Assign(other, i + 1 < others.size() ? others[i + 1] : "on", &settings), "");
          }
        }
      }
      return settings;
    }();
    Words spaced = others, joined = others;
    if (!setting.stands_alone()) spaced.insert(spaced.end(), {setting.Flag(), value});
    joined.push_back(setting.Flag() + "=" + value);
    const Settings expected = Read(joined);
    EXPECT_NE(expected, without) << setting.key << " = " << value << " changes nothing";
    if (!setting.stands_alone()) {
      EXPECT_EQ(Read(spaced), expected) << setting.key;
    }
    EXPECT_EQ(Read(others, {{setting.Variable(), value}}), expected) << setting.Variable();
    if (*setting.plain != '\0') {
      EXPECT_EQ(Read(others, {{setting.plain, value}}), expected) << setting.plain;
    }
    Words with_file = others;
    with_file.insert(with_file.end(), {"--config", "f"});
    EXPECT_EQ(Read(with_file, {}, {{"f", std::string(setting.key) + " = " + value + "\n"}}), expected) << setting.key;
    for (const std::string_view alias : Split(setting.aliases, ' ')) {
      Words by_alias = others;
      by_alias.insert(by_alias.end(), {std::string(alias), value});
      EXPECT_EQ(Read(by_alias), expected) << alias;
    }
  }
}

TEST(Settings, NumbersStayInTheirRanges) {
  for (const Setting& setting : SettingTable()) {
    const bool whole = setting.written == Written::kCount || setting.written == Written::kBytes;
    if (!whole && setting.written != Written::kSeconds) continue;
    Settings settings;
    const auto number = [](double value) {
      char text[40];
      snprintf(text, sizeof(text), "%.3f", value);
      std::string digits = text;
      while (digits.back() == '0') digits.pop_back();
      if (digits.back() == '.') digits.pop_back();
      return digits;
    };
    EXPECT_EQ(Assign(setting, number(setting.low), &settings), "") << setting.key;
    if (setting.high < 9e18) {
      EXPECT_EQ(Assign(setting, number(setting.high), &settings), "") << setting.key;
      EXPECT_NE(Assign(setting, number(setting.high + 1), &settings), "") << setting.key;
    }
    if (setting.low >= 1) {
      EXPECT_NE(Assign(setting, number(setting.low - 1), &settings), "") << setting.key;
    }
    if (!whole && setting.low > 0) {
      EXPECT_NE(Assign(setting, "0.001", &settings), "") << setting.key;
    }
    for (const char* wrong :
         {"", "-1", "+1", "1e3", "0x10", "nan", "inf", "1 2", "abc", "99999999999999999999", "1.5.5", ".", "1,000"}) {
      const std::string message = Assign(setting, wrong, &settings);
      EXPECT_EQ(message, "must be " + setting.Range()) << setting.key << " = " << wrong;
    }
  }
}

TEST(Settings, TheNearerSourceWins) {
  const Variables file = {{"f", "max_connections = 1\n"}};
  EXPECT_EQ(Read({"--config", "f"}, {}, file).max_connections, 1u);
  EXPECT_EQ(Read({}, {{"MOTE_CONFIG", "f"}}, file).max_connections, 1u);
  EXPECT_EQ(Read({"--config", "f"}, {{"MAX_CONNECTIONS", "2"}}, file).max_connections, 2u);
  const Variables both = {{"MAX_CONNECTIONS", "2"}, {"MOTE_MAX_CONNECTIONS", "3"}};
  EXPECT_EQ(Read({"--config", "f"}, both, file).max_connections, 3u);
  EXPECT_EQ(Read({"--config", "f", "--max-connections", "4"}, both, file).max_connections, 4u);
  EXPECT_EQ(Read({"--max-connections", "4", "--max-connections=5"}).max_connections, 5u);
  EXPECT_EQ(Read({}, {{"MAX_CONNECTIONS", ""}}).max_connections, 2048u);
}

TEST(Settings, ListsGrowInOneSourceAndAreReplacedByANearer) {
  const Variables file = {{"f", "allowed_hosts = a, b\nallowed_hosts = c\nmodel = x=1.gguf; y=2.gguf,mmproj=m.gguf\n"}};
  const Settings settings = Read({"--config", "f"}, {}, file);
  EXPECT_EQ(settings.allowed_hosts, (Words{"a", "b", "c"}));
  ASSERT_EQ(settings.models.size(), 2u);
  EXPECT_EQ(settings.models[1], (ModelFile{"y", "2.gguf", "m.gguf"}));
  EXPECT_EQ(Read({"--config", "f", "--allowed-hosts=d"}, {}, file).allowed_hosts, Words{"d"});
  EXPECT_EQ(Read({"--config", "f", "./z=3.gguf"}, {}, file).models, (std::vector<ModelFile>{{"", "./z=3.gguf", ""}}));
  EXPECT_EQ(Read({"a.gguf", "-m", "q=b.gguf", "--", "-c.gguf"}).models.size(), 3u);
}

TEST(Settings, WrongOnesNameTheirSource) {
  EXPECT_EQ(Fails({}, {{"MAX_CONNECTIONS", "abc"}}), "MAX_CONNECTIONS=abc (environment): must be 1 to 65535");
  EXPECT_EQ(Fails({}, {{"MOTE_DEVICE", "tpu"}}), "MOTE_DEVICE=tpu (environment): must be auto, cpu or cuda");
  EXPECT_EQ(Fails({"--max-connections", "0"}), "--max-connections 0 (command line): must be 1 to 65535");
  EXPECT_EQ(Fails({"--config", "f"}, {}, {{"f", "# one\n\nslots = many # three\n"}}),
            "f:3: slots = many: must be 1 to 4096");
  EXPECT_EQ(Fails({"--config", "f"}, {}, {{"f", "max_conections = 3\n"}}),
            "f:1: unknown key \"max_conections\"; did you mean max_connections?");
  EXPECT_EQ(Fails({"--config", "f"}, {}, {{"f", "slots = 1\nslots = 2"}}), "f:2: slots is there twice");
  EXPECT_EQ(Fails({"--config", "f"}, {}, {{"f", "[server]"}}),
            "f:1: has a section; must be KEY = VALUE, without sections");
  EXPECT_EQ(Fails({"--config", "f"}, {}, {{"f", "slots"}}), "f:1: must be KEY = VALUE, or begin with #");
  EXPECT_EQ(Fails({"--config", "f"}, {}, {{"f", "key_file = \"a\" b"}}),
            "f:1: key_file: quotes must close, with nothing but a comment behind");
  EXPECT_EQ(Fails({"--config", "f"}, {}, {{"f", std::string("slots = 1\0", 10)}}), "f:1: has a control character");
  EXPECT_EQ(Fails({"--config", "g"}), "the file of --config: g: No such file or directory");
  EXPECT_EQ(Fails({"--max-conections", "3"}),
            "unknown option --max-conections; did you mean --max-connections?; mote serve --help lists them");
  EXPECT_EQ(Fails({"--slots"}), "--slots (command line): needs a value; it must be 1 to 4096");
  EXPECT_EQ(Fails({"--no-slots"}), "unknown option --no-slots; mote serve --help lists them");
  // Of a wrong value in a farther source, too, though a nearer one would win.
  EXPECT_EQ(Fails({"--slots", "3"}, {{"MOTE_SLOTS", "x"}}), "MOTE_SLOTS=x (environment): must be 1 to 4096");
}

TEST(Settings, ASecretIsNeverRepeated) {
  const std::string secret = "hunter2 hunter2 hunter2";
  for (const std::string& message : {Fails({"--api-key", secret}), Fails({}, {{"MOTE_API_KEY", secret}}),
                                     Fails({"--config", "f"}, {}, {{"f", "api_key = " + secret}})}) {
    EXPECT_EQ(message.find("hunter"), std::string::npos) << message;
    EXPECT_NE(message.find("must be 16 to 512 visible ASCII characters"), std::string::npos) << message;
  }
  EXPECT_EQ(Fails({"--api-key", "short"}), "--api-key ... (command line): must be 16 to 512 visible ASCII characters");
}

TEST(Settings, FilesHaveQuotesAndComments) {
  const Variables file = {{"f",
                           "\xEF\xBB\xBF# with a mark of its encoding, and lines that end as Windows ends them\r\n"
                           "key_file = \"a # b \\\" \\\\\" # c\r\n"
                           "tls_cert = 'x\\y'\r\n tls_key\t=\tk#1  # two\r\n"}};
  const Settings settings = Read({"--config", "f"}, {}, file);
  EXPECT_EQ(settings.key_file, "a # b \" \\");
  EXPECT_EQ(settings.tls_cert, "x\\y");
  EXPECT_EQ(settings.tls_key, "k#1");
}

TEST(Settings, SwitchesStandAlone) {
  EXPECT_FALSE(Read({"--no-page"}).page);
  EXPECT_FALSE(Read({"--page=off"}).page);
  EXPECT_TRUE(Read({"--page", "x.gguf"}).page);
  EXPECT_EQ(Read({"--page", "x.gguf"}).models.size(), 1u);
  EXPECT_EQ(Read({"--no-api-key-required"}).api_key_required, KeyRequirement::kOff);
  EXPECT_EQ(Read({"--api-key-required", "--api-key=0123456789abcdef"}).api_key_required, KeyRequirement::kOn);
  for (const char* on : {"1", "true", "ON", "yes", "enabled"}) EXPECT_TRUE(Read({}, {{"MOTE_INSECURE", on}}).insecure);
  for (const char* off : {"0", "false", "Off", "no"}) EXPECT_FALSE(Read({}, {{"MOTE_INSECURE", off}}).insecure);
}

TEST(Settings, AddressAndPortMeetInOneEndpoint) {
  EXPECT_EQ(Read({"--port", "9000"}, {{"BIND_ADDR", "[::1]:80"}}).bind.Text(), "[::1]:9000");
  EXPECT_EQ(Read({"--host", "unix:/run/m.sock"}).bind.Text(), "unix:/run/m.sock");
  EXPECT_EQ(Read({"--bind-addr", "unix:/run/m.sock"}, {{"MOTE_PORT", "1"}}).bind.Text(), "unix:/run/m.sock");
  EXPECT_EQ(Read({"--bind-addr", "localhost:0"}).bind.port, 0);
  EXPECT_TRUE(Read({"--bind-addr", "[::ffff:127.0.0.1]:1"}).bind.local());
  EXPECT_EQ(Read({"--bind-addr", ":80", "--insecure"}).bind.Text(), "0.0.0.0:80");
  for (const char* wrong :
       {"80", "::1:80", "127.0.0.1", "127.1:80", "0x7f.0.0.1:80", "010.0.0.1:80", "127.0.0.1:65536",
        "127.0.0.1:", "127.0.0.1:+1", "example.com:80", "unix:", "unix:run", "[::1]", "127.0.0.1:80:80"}) {
    EXPECT_NE(Fails({"--bind-addr", wrong}).find("must be ADDRESS:PORT"), std::string::npos) << wrong;
  }
  EXPECT_NE(Fails({}, {{"MOTE_PORT", "tcp://10.0.0.1:80"}}).find("enableServiceLinks"), std::string::npos);
}

TEST(Settings, ValuesWithUnits) {
  EXPECT_EQ(ReadBytes("1.5 GiB"), 1610612736u);
  EXPECT_EQ(ReadBytes("64m"), 64u << 20);
  EXPECT_EQ(ReadBytes("9000000000000000001"), 9000000000000000001u);
  EXPECT_FALSE(ReadBytes("10000000T"));
  EXPECT_FALSE(ReadBytes("1X"));
  EXPECT_EQ(ReadSeconds("500ms"), 0.5);
  EXPECT_EQ(ReadSeconds("2h"), 7200);
  EXPECT_FALSE(ReadSeconds("2w"));
  EXPECT_EQ(ReadRate("10/s"), (Rate{10, 1}));
  EXPECT_EQ(ReadRate("60 / min"), (Rate{60, 60}));
  EXPECT_EQ(ReadRate("60"), (Rate{60, 60}));
  EXPECT_EQ(ReadRate("off"), Rate{});
  for (const char* wrong : {"", "/s", "10/", "10/fortnight", "-1/s", "1e3/s", "10/s/s"})
    EXPECT_FALSE(ReadRate(wrong)) << wrong;
  EXPECT_EQ(ReadWorkers("4"), (WorkerRange{4, 4}));
  EXPECT_EQ(ReadWorkers("1 - 256"), (WorkerRange{1, 256}));
  for (const char* wrong : {"", "0", "3-2", "1-257", "-3", "2-", "2-3-4"}) EXPECT_FALSE(ReadWorkers(wrong)) << wrong;
  for (const char* wrong : {"off ", "Q8_0", "f16", "iq4_nl", "mxfp4", "adaptive"}) {
    EXPECT_EQ(Read({"--quantization-mode", wrong}).quantization, LowerCase(Trim(wrong)));
  }
  for (const char* wrong : {"", "q", "8", "int8", "q8-0"}) {
    EXPECT_NE(Fails({"--quantization-mode", wrong}).find("must be off, adaptive"), std::string::npos) << wrong;
  }
  for (const char* wrong : {"none=k", "HS512=k", "ES256", "ES256=", "ES256:=k", "es256=k"}) {
    EXPECT_FALSE(ReadJwtKeyFile(wrong)) << wrong;
  }
  EXPECT_EQ(ReadJwtKeyFile("EdDSA:k-1=/a=b.pem"), (JwtKeyFile{"EdDSA", "k-1", "/a=b.pem"}));
  for (const char* wrong : {"", "=a", "a b=c", "a=", "a.gguf,mmproj="}) EXPECT_FALSE(ReadModelFile(wrong)) << wrong;
}

TEST(Settings, WhatIsNotASettingIsTold) {
  const Settings settings = Read(
      {}, {{"MOTE_MAX_CONECTIONS", "1"}, {"MOTE_ISA", "avx2"}, {"MOTE_SERVICE_HOST", "10.0.0.1"}, {"PATH", "/bin"}});
  EXPECT_EQ(settings.notes,
            Words{"MOTE_MAX_CONECTIONS (environment) is no setting; did you mean MOTE_MAX_CONNECTIONS?"});
}

TEST(Settings, APublicAddressNeedsAGuard) {
  const std::string refused = Fails({"--host", "0.0.0.0"});
  EXPECT_NE(refused.find("0.0.0.0:8080 can be reached from other machines, and there are no keys"), std::string::npos);
  EXPECT_NE(refused.find("--insecure"), std::string::npos);
  for (const char* host : {"::", "192.168.1.2", "fe80::1", "::ffff:10.0.0.1", "128.0.0.1"}) {
    EXPECT_NE(Fails({"--host", host}).find("can be reached"), std::string::npos) << host;
  }
  const Words open = {"--host", "0.0.0.0"};
  for (const Words& guard : {Words{"--insecure"}, Words{"--key-file", "k"}, Words{"--api-key", "0123456789abcdef"},
                             Words{"--jwt-keys=ES256=k", "--jwt-issuer=i", "--jwt-audience=a"},
                             Words{"--tls-cert=c", "--tls-key=k", "--tls-client-ca=a"}}) {
    Words words = open;
    words.insert(words.end(), guard.begin(), guard.end());
    EXPECT_EQ(Read(words).bind.host, "0.0.0.0");
  }
  EXPECT_NE(Fails({"--host", "0.0.0.0", "--key-file", "k", "--no-api-key-required"}).find("api_key_required is off"),
            std::string::npos);
}

TEST(Settings, WhatDependsOnSeveralIsChecked) {
  const auto refuses = [](const Words& words, const char* message) {
    EXPECT_NE(Fails(words).find(message), std::string::npos) << message << " is not in: " << Fails(words);
  };
  refuses({"--tls-cert", "c"}, "tls_cert is set without tls_key");
  refuses({"--tls-key", "c"}, "tls_key is set without tls_cert");
  refuses({"--tls-client-ca", "c"}, "tls_client_ca is set without tls_cert");
  refuses({"--tls-cert=c", "--tls-key=k", "--host=/run/m.sock"}, "socket file");
  refuses({"--api-key-required"}, "there is no key");
  refuses({"--jwt-keys", "ES256=k"}, "need jwt_issuer and jwt_audience");
  refuses({"--jwt-keys", "ES256=k", "--jwt-issuer", "i"}, "need jwt_issuer and jwt_audience");
  refuses({"--jwt-issuer", "i"}, "mean nothing without jwt_keys");
  refuses({"--jwt-keys=ES256=k;HS256=k", "--jwt-issuer=i", "--jwt-audience=a"}, "a key has one algorithm");
  refuses({"--cors-enabled"}, "names no origin");
  refuses({"--cors-origins", "https://a"}, "cors_enabled is off");
  for (const char* origin :
       {"*", "null", "https://*.a", "https://a/", "https://A", "ftp://a", "a", "https://", "https://u@a"}) {
    refuses({"--cors-enabled", "--cors-origins", origin}, "is no origin");
  }
  for (const char* host : {"https://a", "*.a", "a b", "a/b"})
    refuses({"--allowed-hosts", host}, "must be a host's name");
  for (const char* proxy : {"a", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1"}) {
    refuses({"--trusted-proxies", proxy}, "must be an address, a network");
  }
  EXPECT_EQ(Read({"--trusted-proxies", "unix,10.0.0.7, ::/0"}).trusted_proxies.size(), 3u);
  refuses({"--max-body", "1M"}, "as base64 does not fit");
  refuses({"--max-line", "64K"}, "max_line is larger");
  refuses({"--batch-size", "64"}, "more than batch_size");
  refuses({"--memory-pool-size", "100M"}, "more than memory_pool_size");
  if (mote_gpu_count(nullptr) == 0) refuses({"--device", "cuda"}, "must be auto or cpu");
  refuses({"--gpu-layers", "many"}, "--gpu-layers many");
  refuses({"--mmproj", "m", "a.gguf,mmproj=n"}, "leave one out");
}

TEST(Settings, HelpNamesEveryFlag) {
  const std::string help = SettingsHelp();
  for (const Setting& setting : SettingTable()) EXPECT_NE(help.find(setting.Flag()), std::string::npos);
}

// With MOTE_UPDATE_PAGES set, writes the tables into the page instead of comparing.
TEST(Settings, ThePageHasTheTable) {
  constexpr char kPath[] = "docs/configuration.md";
  constexpr char kBegin[] = "<!-- settings -->\n", kEnd[] = "<!-- end of settings -->";
  std::string page;
  FILE* file = fopen(kPath, "rb");
  ASSERT_NE(file, nullptr) << kPath;
  for (int c = fgetc(file); c != EOF; c = fgetc(file)) page += static_cast<char>(c);
  fclose(file);
  const size_t begin = page.find(kBegin), end = page.find(kEnd);
  ASSERT_TRUE(begin != std::string::npos && end != std::string::npos && begin < end);
  const size_t start = begin + sizeof(kBegin) - 1;
  if (getenv("MOTE_UPDATE_PAGES") != nullptr) {
    page.replace(start, end - start, SettingsPage());
    file = fopen(kPath, "wb");
    ASSERT_NE(file, nullptr);
    fwrite(page.data(), 1, page.size(), file);
    fclose(file);
    return;
  }
  EXPECT_EQ(page.substr(start, end - start), SettingsPage())
      << "MOTE_UPDATE_PAGES=1 test_server --gtest_filter=Settings.ThePageHasTheTable writes the page anew";
}

}  // namespace
}  // namespace mote::server
