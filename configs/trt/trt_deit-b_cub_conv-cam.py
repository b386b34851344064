# TRT with the CAM branch of the paper's text: a convolution on the tokens before the last block (after a norm), in
# place of the official code's additional block on the tokens before the last two.
_base_ = ['./trt_deit-b_cub.py']
model = dict(backbone=dict(cam_layer=-1, cam_block=False))
