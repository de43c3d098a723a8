-- Test bench of act: streams vectors back to back and with gaps, checks values and latency.
-- It reads <bus>.hex of every bus, a vector a line, in `folder`; `sh run.sh` runs it with GHDL.

library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;
use ieee.math_real.all;
use std.textio.all;

entity act_tb is
  generic (folder : string := ".");
end entity act_tb;

architecture test of act_tb is
  constant latency : positive := 2;
  signal clk, rst, in_valid : std_logic := '1';
  signal out_valid : std_logic;
  signal done : boolean := false;
  signal x0 : std_logic_vector(2 downto 0);
  signal x1 : std_logic_vector(3 downto 0);
  signal y0 : std_logic_vector(7 downto 0);
  signal y1 : std_logic_vector(19 downto 0);

  -- A hexadecimal number of at most as many bits as `word`.
  procedure read_word(file source : text; word : out std_logic_vector) is
    variable row : line;
    variable digit, low : natural := 0;
    variable padded : std_logic_vector(word'length + 3 downto 0) := (others => '0');
  begin
    readline(source, row);
    for k in row'high downto row'low loop
      case row(k) is
        when '0' to '9' => digit := character'pos(row(k)) - character'pos('0');
        when 'a' to 'f' => digit := character'pos(row(k)) - character'pos('a') + 10;
        when others => report "no hexadecimal number: " & row.all severity failure;
      end case;
      padded(low + 3 downto low) := std_logic_vector(to_unsigned(digit, 4));
      low := low + 4;
    end loop;
    word := padded(word'length - 1 downto 0);
    deallocate(row);
  end procedure read_word;
begin
  dut : entity work.act
    port map (clk => clk, rst => rst, in_valid => in_valid, x0 => x0, x1 => x1, out_valid => out_valid, y0 => y0, y1 => y1);

  clk <= not clk after 5 ns when not done;

  bench : process
    file x0_file : text;
    file x1_file : text;
    file y0_file : text;
    file y1_file : text;
    variable x0_word : std_logic_vector(2 downto 0);
    variable x1_word : std_logic_vector(3 downto 0);
    variable y0_word : std_logic_vector(7 downto 0);
    variable y1_word : std_logic_vector(19 downto 0);
    variable due : std_logic_vector(1 to latency);
    variable busy : std_logic;
    variable answered : natural;
    variable seed_1, seed_2 : positive := 1;
    variable draw : real;
  begin
    for pass in 1 to 2 loop
      rst <= '1';
      in_valid <= '1';
      for k in 1 to latency + 2 loop
        wait until falling_edge(clk);
      end loop;
      assert out_valid = '0' report "out_valid is up during reset" severity failure;
      rst <= '0';
      file_open(x0_file, folder & "/x0.hex", read_mode);
      file_open(x1_file, folder & "/x1.hex", read_mode);
      file_open(y0_file, folder & "/y0.hex", read_mode);
      file_open(y1_file, folder & "/y1.hex", read_mode);
      due := (others => '0');
      answered := 0;
      loop
        uniform(seed_1, seed_2, draw);
        busy := '0';
        if not endfile(x0_file) and (pass = 1 or draw > 0.4) then
          busy := '1';
          read_word(x0_file, x0_word);
          x0 <= x0_word;
          read_word(x1_file, x1_word);
          x1 <= x1_word;
        end if;
        in_valid <= busy;
        wait until falling_edge(clk);
        due := busy & due(1 to latency - 1);
        assert out_valid = due(latency)
          report "out_valid is wrong after " & integer'image(answered) & " answers" severity failure;
        if due(latency) = '1' then
          read_word(y0_file, y0_word);
          assert y0 = y0_word
            report "vector " & integer'image(answered) & ": y0 is " & to_hstring(y0) & ", expected "
              & to_hstring(y0_word)
            severity failure;
          read_word(y1_file, y1_word);
          assert y1 = y1_word
            report "vector " & integer'image(answered) & ": y1 is " & to_hstring(y1) & ", expected "
              & to_hstring(y1_word)
            severity failure;
          answered := answered + 1;
        end if;
        exit when endfile(x0_file) and busy = '0' and due = (1 to latency => '0');
      end loop;
      file_close(x0_file);
      file_close(x1_file);
      file_close(y0_file);
      file_close(y1_file);
      assert answered > 0 report "no vectors: write the .hex files first" severity failure;
      report "pass " & integer'image(pass) & ": " & integer'image(answered) & " vectors, all right";
    end loop;
    done <= true;
    wait;
  end process bench;
end architecture test;
