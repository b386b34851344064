# TRT, DeiT-B on CUB.
base = 'trt_deit-b_cub'
cells = {
    '': {},
    # A fixed number of patches, Fig. 4a; number and schedule of the official code. One stage: its map is the
    # re-attention alone.
    'topk': {
        'model.backbone.tpsm': dict(_delete_=True, selection='topk', topk=65, mask_eps=0, lambda_eps=0),
        'stages': [
            dict(
                name='tpsm',
                model=dict(head=dict(train_part='tpsm')),
                param_scheduler=dict(milestones=[29]),
                train_cfg=dict(max_epochs=50)),
        ],
    },
    # The patches above a fixed threshold, Fig. 4a. Its value was not published; 0.02, about four times the mean
    # attention of 1 / 196, is the default threshold of the official settings.
    'threshold': {'model.backbone.tpsm': dict(_delete_=True, selection='threshold', tau=0.02)},
    # One stage and the sum of both losses, Eq. 2; the official code trains one after the other.
    'joint': {'stages': [dict(name='joint', model=dict(head=dict(train_part='joint')))]},
    # The CAM branch of the paper's text: a convolution on the tokens before the last block (after a norm), in place of
    # the official code's additional block on the tokens before the last two.
    'conv-cam': {'model.backbone.cam_layer': -1, 'model.backbone.cam_block': False},
    # The baseline of TRT's code: an ordinary DeiT-B/16, whose map is the attention of the class token summed over all
    # blocks.
    'attention-only': {
        'model.backbone': dict(_delete_=True, type='mmwsol.TapViT', arch='deit-base', drop_path_rate=0.1),
        'model.head.type': 'mmwsol.ClsTokenHead',
        'stages': None,
        'param_scheduler.milestones': [19, 39],
        'train_cfg.max_epochs': 40,
    },
}
